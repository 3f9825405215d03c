// The page of the viewer: a list of slides, one of them at full depth, its layers over it.
// Slides and layers are numbers here and on the server; the address of a view names the slide.
"use strict";

const TILE = 512;
const OVERLAP = 1; // px of its neighbours that a tile shows
const MAGNIFIED = 8; // screen px that a px of the slide is wide at most
const SVG = "http://www.w3.org/2000/svg";

const read = async (path) => {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error((await answer.text()).trim());
  return answer.json();
};

const wished = new Map(); // title of a layer -> {on, opacity}: kept from slide to slide
let slides = [];
let chosen = 0; // number of the slide that is shown, or will be once the server has answered
let current = null; // {number, about, layers, place}

const viewer = OpenSeadragon({
  element: at("canvas"),
  drawer: "canvas",
  showNavigationControl: false,
  showNavigator: true,
  navigatorPosition: "TOP_RIGHT",
  navigatorSizeRatio: 0.16,
  navigatorAutoFade: false,
  navigatorBackground: "#fff",
  navigatorBorderColor: "#dfe3e8",
  navigatorDisplayRegionColor: "#d55e00",
  animationTime: 0.4,
  maxZoomPixelRatio: MAGNIFIED,
  minZoomImageRatio: 0.6,
  visibilityRatio: 0.4,
  gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
  imageLoaderLimit: 6,
  timeout: 120000,
});

function source(about, address, clear) {
  return {
    width: about.width,
    height: about.height,
    tileSize: TILE,
    tileOverlap: OVERLAP,
    minLevel: about.first,
    maxLevel: about.last,
    hasTransparency: () => clear,
    getTileUrl: (level, column, row) => `${address}/${level}/${row}/${column}`,
  };
}

// Slides

function list() {
  const wanted = at("find").value.trim().toLowerCase();
  at("list").replaceChildren(
    ...slides.flatMap((slide, number) => {
      const words = [slide.label, slide.patient].filter(Boolean).join(" · ");
      if (!`${slide.slide} ${words}`.toLowerCase().includes(wanted)) return [];
      const picture = make("img", { src: `small/${number}`, alt: "", loading: "lazy" });
      const button = make("button", { onclick: () => show(number) });
      button.append(picture, make("b", { textContent: slide.slide }), make("span", { textContent: words }));
      const item = make("li", {}, button);
      item.dataset.number = number;
      return [item];
    }),
  );
  mark();
}

function mark() {
  for (const item of at("list").children) {
    const chosen = current !== null && Number(item.dataset.number) === current.number;
    item.toggleAttribute("aria-current", chosen);
    if (chosen) item.scrollIntoView({ block: "nearest" });
  }
}

async function show(number, place = null) {
  let about;
  chosen = number;
  try {
    about = await read(`slide/${number}`);
  } catch (error) {
    tell(error.message);
    return;
  }
  if (chosen !== number) return; // another was chosen meanwhile
  for (const layer of current?.layers ?? []) layer.svg?.remove();
  current = { number, about, layers: [], place };
  viewer.close();
  viewer.open({ tileSource: source(about.tiles, `pixels/${number}`, false), width: 1 });
  document.title = `${about.slide} · Microtome`;
  at("name").textContent = about.slide;
  const size = [about.width, about.height].map((side) => words(side * about.mpp)).join(" × ");
  const facts = [slides[number].label, slides[number].patient, size, `${Number(about.mpp.toPrecision(4))} µm per px`];
  at("about").textContent = facts.filter(Boolean).join(" · ");
  tell(about.fault);
  mark();
  at("slides").classList.remove("open");
}

viewer.addHandler("open", () => {
  if (current === null) return;
  const first = viewer.world.getItemAt(0);
  const slide = { title: "slide", group: "", opacity: 1, legend: [], image: first, order: 0 };
  const others = current.about.layers.map((layer, number) => ({ ...layer, number, order: number + 1 }));
  current.layers = [slide, ...others];
  const heatmap = others.findIndex((layer) => layer.group === "heatmaps");
  current.layers.forEach((layer, order) => {
    if (!wished.has(key(layer))) {
      wished.set(key(layer), { on: order === 0 || order === heatmap + 1, opacity: layer.opacity });
    }
  });
  for (const layer of current.layers) layer.wish = wished.get(key(layer));
  at("layers").replaceChildren(...rows(current.layers, toggle));
  if (current.place) go(current.place);
  current.layers.forEach(apply);
  moved();
});

// Layers

const key = (layer) => `${layer.group}/${layer.title}`;

function toggle(layer, on = !layer.wish.on) {
  layer.wish.on = on;
  layer.box.checked = on;
  apply(layer);
}

function apply(layer) {
  const { wish } = layer;
  layer.element.classList.toggle("on", wish.on);
  if (layer.legendElement) layer.legendElement.hidden = !wish.on;
  const opacity = wish.on ? wish.opacity : 0;
  if (layer.image) {
    layer.image.setOpacity(opacity);
  } else if (layer.svg) {
    layer.svg.style.opacity = opacity;
    layer.svg.style.display = opacity ? "" : "none";
  } else if (wish.on && !layer.asked) {
    layer.asked = true;
    layer.tiles ? lay(layer) : draw(layer);
  }
}

function lay(layer) {
  const { number, about } = current;
  const held = current;
  viewer.addTiledImage({
    tileSource: source(layer.tiles, `layer/${number}/${layer.number}`, true),
    width: (layer.tiles.width * layer.tiles.step) / about.width,
    index: held.layers.filter((other) => other.image && other.order < layer.order).length,
    opacity: 0,
    success: ({ item }) => {
      if (held !== current) {
        viewer.world.removeItem(item);
        return;
      }
      layer.image = item;
      apply(layer);
    },
  });
}

async function draw(layer) {
  const held = current;
  let shapes;
  try {
    shapes = await read(`shapes/${held.number}/${layer.number}`);
  } catch (error) {
    tell(error.message);
    return;
  }
  if (held !== current) return;
  const svg = document.createElementNS(SVG, "svg");
  svg.classList.add("shapes");
  const group = document.createElementNS(SVG, "g");
  for (const { geometry, properties } of shapes.features) {
    const path = document.createElementNS(SVG, "path");
    const polygons = geometry.type === "MultiPolygon" ? geometry.coordinates : [geometry.coordinates];
    const rings = polygons.flat().map((ring) => `M${ring.map((point) => point.join(" ")).join("L")}Z`);
    path.setAttribute("d", rings.join(""));
    path.style.stroke = `rgb(${properties.classification.color.join(" ")})`;
    path.classList.toggle("cut", properties.classification.name === "cut out");
    const title = document.createElementNS(SVG, "title");
    const measured = Object.entries(properties.measurements ?? {}).map(([name, value]) => `${name}: ${value}`);
    title.textContent = [properties.classification.name, ...measured].join("\n");
    path.append(title);
    group.append(path);
  }
  svg.append(group);
  Object.assign(layer, { svg, paths: group });
  viewer.canvas.append(svg);
  follow();
  apply(layer);
}

function follow() {
  if (!current) return;
  const corner = viewer.viewport.pixelFromPoint(new OpenSeadragon.Point(0, 0), true);
  const scale = pixels();
  for (const { paths } of current.layers) {
    paths?.setAttribute("transform", `translate(${corner.x} ${corner.y}) scale(${scale})`);
  }
}

// Where one is

// Screen px per px of the slide, now or where the movement will end.
const pixels = (now = true) =>
  viewer.viewport.deltaPixelsFromPoints(new OpenSeadragon.Point(1, 0), now).x / current.about.width;

function measure() {
  if (!current || !viewer.world.getItemCount()) return;
  rule(current.about.mpp / pixels());
}

function moved() {
  if (!current || !viewer.world.getItemCount()) return;
  const centre = viewer.viewport.getCenter(false);
  const { width } = current.about;
  const place = { x: centre.x * width, y: centre.y * width, zoom: pixels(false) };
  history.replaceState(null, "", address({ slide: current.about.slide, ...place }));
}

function go({ x, y, zoom }) {
  const { width } = current.about;
  const { viewport } = viewer;
  viewport.zoomTo(viewport.getZoom(false) * (zoom / pixels(false)), null, true);
  viewport.panTo(new OpenSeadragon.Point(x / width, y / width), true);
  viewport.applyConstraints(true);
}

function tell(sentence) {
  at("notice").textContent = sentence ?? "";
  at("notice").hidden = !sentence;
}

viewer.addHandler("update-viewport", () => {
  follow();
  measure();
});
viewer.addHandler("animation-finish", moved);
viewer.addHandler("resize", () => setTimeout(follow));
viewer.addHandler("open-failed", ({ message }) => tell(message));
viewer.addHandler("tile-load-failed", async ({ tile }) => {
  const answer = await fetch(tile.getUrl());
  if (!answer.ok) tell((await answer.text()).trim());
});
viewer.addHandler("canvas-key", (event) => {
  event.preventDefaultAction = true; // keys are taken below, wherever the focus is
});
at("canvas").addEventListener("pointermove", (event) => {
  if (!current || !viewer.world.getItemCount()) return;
  const corner = at("canvas").getBoundingClientRect();
  const point = new OpenSeadragon.Point(event.clientX - corner.left, event.clientY - corner.top);
  const place = viewer.viewport.pointFromPixel(point, true);
  const [x, y] = [place.x, place.y].map((side) => Math.floor(side * current.about.width));
  const inside = x >= 0 && y >= 0 && x < current.about.width && y < current.about.height;
  at("where").textContent = inside ? `x ${x}  y ${y}` : "";
});

// Controls

const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function pan([across, down]) {
  const bounds = viewer.viewport.getBounds(false);
  viewer.viewport.panBy(new OpenSeadragon.Point((across * bounds.width) / 5, (down * bounds.height) / 5));
  viewer.viewport.applyConstraints();
}

function closer(factor) {
  viewer.viewport.zoomBy(factor);
  viewer.viewport.applyConstraints();
}

const turn = (by) => slides.length && show((chosen + by + slides.length) % slides.length);

const keys = {
  "+": () => closer(1.5),
  "=": () => closer(1.5),
  "-": () => closer(1 / 1.5),
  0: () => viewer.viewport.goHome(),
  n: () => turn(1),
  p: () => turn(-1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input[type=search], input[type=range]");
  if (event.key === "Escape") {
    at("canvas").focus();
    for (const drawer of [at("slides"), at("panel")]) drawer.classList.remove("open");
  }
  if (typing || !current) return;
  const layer = /^[1-9]$/.test(event.key) ? current.layers[Number(event.key)] : null;
  if (layer) toggle(layer);
  else if (Object.hasOwn(steps, event.key)) pan(steps[event.key]);
  else if (Object.hasOwn(keys, event.key)) keys[event.key]();
  else return;
  event.preventDefault();
});

at("find").addEventListener("input", list);
at("in").onclick = keys["+"];
at("out").onclick = keys["-"];
at("home").onclick = keys[0];
at("next").onclick = keys.n;
at("previous").onclick = keys.p;
at("link").onclick = () => {
  moved();
  copy();
};
for (const name of ["slides", "panel"]) {
  at(`show-${name}`).onclick = () => at(name).classList.toggle("open");
}
at("canvas").addEventListener("pointerdown", () => {
  for (const drawer of [at("slides"), at("panel")]) drawer.classList.remove("open");
});
addEventListener("hashchange", () => {
  const { number, place } = linked(slides.map(({ slide }) => slide));
  if (number < 0) return;
  if (chosen !== number) show(number, place);
  else if (place) go(place);
});

(async () => {
  try {
    const study = await read("study");
    slides = study.slides;
    at("study").textContent = study.study;
  } catch (error) {
    tell(error.message);
    return;
  }
  const { number, place } = linked(slides.map(({ slide }) => slide));
  list();
  await show(Math.max(number, 0), place);
})();
