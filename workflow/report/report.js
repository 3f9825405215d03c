// What moves in the report: the table of slides is sorted, and a light viewer shows the picture of a
// slide under layers that toggle and fade. viewer/layers.js stands before it. Without scripts the
// page is whole, but for this.
"use strict";

const CLOSEST = 12; // screen px that a px of the picture is wide at most
const views = [...document.querySelectorAll("[data-view]")].map((card) => ({ card, ...JSON.parse(card.dataset.view) }));
const wished = new Map(); // layer -> {on, opacity}: kept from slide to slide
const fingers = new Map(); // pointer -> its place; two of them pinch
const place = { x: 0, y: 0, scale: 1 }; // screen px of the corner of the picture, screen px per px
let current = null;
let telling = 0; // the timer of the address, which is told when one rests

// The table of slides

const headings = [...at("all").tHead.querySelectorAll("th")];
const collator = new Intl.Collator("en", { numeric: true });

// By a column, numbers or words, upwards first and the other way when asked again. What is empty comes
// last both ways, and what is alike stays in its order.
function sort(heading) {
  const up = heading.getAttribute("aria-sort") !== "ascending";
  headings.forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", up ? "ascending" : "descending");
  const compare = heading.classList.contains("n") ? (a, b) => a - b : collator.compare;
  const body = at("all").tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, text: row.cells[heading.cellIndex].textContent }));
  rows.sort((a, b) => !a.text - !b.text || (up ? 1 : -1) * compare(a.text, b.text));
  body.append(...rows.map(({ row }) => row));
}

for (const heading of headings) {
  const button = make("button", { onclick: () => sort(heading) }, ...heading.childNodes);
  heading.append(button);
}

// Slides

function look(number, where = null) {
  current = views[number];
  const { card, slide, width, height } = current;
  const picture = { title: "slide", group: "", opacity: 1, legend: [], source: card.querySelector("img").src };
  current.stack = [picture, ...current.layers].map((layer) => ({ ...layer }));
  const heatmap = current.stack.findIndex((layer) => layer.ramp);
  current.stack.forEach((layer, order) => {
    const key = `${layer.group}/${layer.title}`;
    if (!wished.has(key)) wished.set(key, { on: order === 0 || order === heatmap, opacity: layer.opacity });
    layer.wish = wished.get(key);
    layer.image = make("img", { src: layer.source, alt: "", draggable: false, width, height });
  });
  at("sheet").replaceChildren(...current.stack.map((layer) => layer.image));
  at("layers").replaceChildren(...rows(current.stack, toggle));
  at("name").textContent = slide;
  at("about").replaceChildren(...[...card.querySelectorAll(".tags > *")].map((tag) => tag.cloneNode(true)));
  current.stack.forEach(apply);
  if (!at("viewer").open) at("viewer").showModal();
  at("canvas").focus();
  where ? go(where) : home();
}

const turn = (by) => look((views.indexOf(current) + by + views.length) % views.length);

// Layers

function toggle(layer, on = !layer.wish.on) {
  layer.wish.on = on;
  layer.box.checked = on;
  apply(layer);
}

function apply({ wish, element, image, legendElement }) {
  element.classList.toggle("on", wish.on);
  image.style.opacity = wish.on ? wish.opacity : 0;
  if (legendElement) legendElement.hidden = !wish.on;
}

// Where one is

const room = () => at("canvas").getBoundingClientRect();
const fitting = () => Math.min((room().width - 24) / current.width, (room().height - 24) / current.height);

function draw() {
  const { width, height } = room();
  const reach = [current.width * place.scale, current.height * place.scale];
  // The middle of the window stays on the picture.
  place.x = Math.min(width / 2, Math.max(width / 2 - reach[0], place.x));
  place.y = Math.min(height / 2, Math.max(height / 2 - reach[1], place.y));
  at("sheet").style.transform = `translate(${place.x}px, ${place.y}px) scale(${place.scale})`;
  rule(current.um / place.scale);
  clearTimeout(telling);
  telling = setTimeout(tell, 200);
}

// The address of what is seen, as the viewer of `make view` has it.
function tell() {
  const { width, height } = room();
  const [x, y] = [width / 2 - place.x, height / 2 - place.y].map((side) => (side / place.scale) * current.step);
  history.replaceState(null, "", address({ slide: current.slide, x, y, zoom: place.scale / current.step }));
}

const within = (scale) => Math.min(CLOSEST, Math.max(fitting() / 2, scale));

function go({ x, y, zoom }) {
  place.scale = within(zoom * current.step);
  place.x = room().width / 2 - (x / current.step) * place.scale;
  place.y = room().height / 2 - (y / current.step) * place.scale;
  draw();
}

function home() {
  place.scale = Math.min(CLOSEST, fitting());
  place.x = (room().width - current.width * place.scale) / 2;
  place.y = (room().height - current.height * place.scale) / 2;
  draw();
}

// Closer by a factor; the point (x, y) of the canvas stays where it is.
function zoom(factor, x = room().width / 2, y = room().height / 2) {
  const scale = within(place.scale * factor);
  place.x = x - ((x - place.x) * scale) / place.scale;
  place.y = y - ((y - place.y) * scale) / place.scale;
  place.scale = scale;
  draw();
}

function move(across, down) {
  place.x += across;
  place.y += down;
  draw();
}

// Mouse and fingers

const inside = ({ clientX, clientY }) => [clientX - room().left, clientY - room().top];

function spread() {
  const [[x, y], [u, v]] = [...fingers.values()];
  return { distance: Math.hypot(x - u, y - v), middle: [(x + u) / 2, (y + v) / 2] };
}

at("canvas").addEventListener("pointerdown", (event) => {
  at("canvas").setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, inside(event));
});
at("canvas").addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before || fingers.size > 2) return;
  const earlier = fingers.size === 2 ? spread() : null;
  const now = inside(event);
  fingers.set(event.pointerId, now);
  if (!earlier) {
    move(now[0] - before[0], now[1] - before[1]);
    return;
  }
  const { distance, middle } = spread();
  move(middle[0] - earlier.middle[0], middle[1] - earlier.middle[1]);
  zoom(distance / Math.max(1, earlier.distance), ...middle);
});
for (const end of ["pointerup", "pointercancel"]) {
  at("canvas").addEventListener(end, (event) => fingers.delete(event.pointerId));
}
at("canvas").addEventListener("dblclick", (event) => zoom(2, ...inside(event)));
at("canvas").addEventListener("wheel", (event) => {
  event.preventDefault();
  const lines = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 33;
  zoom(Math.exp(-Math.max(-240, Math.min(240, event.deltaY * lines)) / 400), ...inside(event));
}, { passive: false });

// Keys and buttons

const keys = {
  ArrowLeft: () => move(room().width / 5, 0),
  ArrowRight: () => move(-room().width / 5, 0),
  ArrowUp: () => move(0, room().height / 5),
  ArrowDown: () => move(0, -room().height / 5),
  "+": () => zoom(1.5),
  "=": () => zoom(1.5),
  "-": () => zoom(1 / 1.5),
  0: home,
  n: () => turn(1),
  p: () => turn(-1),
};

at("viewer").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("[type=range]")) return;
  const layer = /^[1-9]$/.test(event.key) ? current.stack[Number(event.key)] : null;
  if (layer) toggle(layer);
  else if (Object.hasOwn(keys, event.key)) keys[event.key]();
  else return;
  event.preventDefault();
});
at("viewer").addEventListener("close", () => {
  fingers.clear();
  clearTimeout(telling);
  history.replaceState(null, "", `#${current.card.id}`);
  current.card.scrollIntoView({ block: "nearest" });
  current.card.querySelector("button").focus({ preventScroll: true });
});
at("in").onclick = keys["+"];
at("out").onclick = keys["-"];
at("home").onclick = home;
at("next").onclick = keys.n;
at("previous").onclick = keys.p;
at("link").onclick = () => {
  tell();
  copy();
};
at("close").onclick = () => at("viewer").close();
addEventListener("resize", () => at("viewer").open && home());
views.forEach(({ card }, number) => {
  const button = card.querySelector("button");
  button.hidden = false;
  button.onclick = () => look(number);
});

function follow() {
  const { number, place: where } = linked(views.map(({ slide }) => slide));
  if (number >= 0) look(number, where);
}

addEventListener("hashchange", follow);
follow();
