// What the viewer and the page of the report share: the list of layers, the scale bar, addresses.
"use strict";

const BAR = 140; // px; the scale bar is no longer
const RAMP = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"]; // viridis
const HEADED = ["heatmaps", "raw cams", "polygons"];

const at = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const words = (um) => (um >= 1000 ? `${Number((um / 1000).toPrecision(3))} mm` : `${Number(um.toPrecision(3))} µm`);

// The list of layers. Kinds of which there may be several stand under a heading, and so does what
// follows them. change(layer, on) is called when the box or the slider of one is moved.
function rows(layers, change) {
  return layers.flatMap((layer, order) => {
    const made = row(layer, order, (on) => change(layer, on));
    const before = layers[order - 1]?.group;
    const headed = layer.group !== before && [layer.group, before].some((group) => HEADED.includes(group));
    return headed ? [make("h3", { textContent: layer.group }), made] : [made];
  });
}

// A layer of the list: a box, a title, the digit that toggles it, a slider. Its `wish` is
// {on, opacity}.
function row(layer, order, change) {
  const { wish } = layer;
  const box = make("input", { type: "checkbox", id: `layer${order}`, checked: wish.on });
  const label = make("label", { htmlFor: box.id, textContent: layer.title });
  const digit = make(order && order < 10 ? "kbd" : "span", { textContent: order && order < 10 ? order : "" });
  const slider = make("input", { type: "range", min: 0, max: 1, step: 0.05, value: wish.opacity });
  slider.setAttribute("aria-label", `opacity of ${layer.title}`);
  const element = make("div", { className: "layer" }, box, label, digit, slider);
  box.onchange = () => change(box.checked);
  slider.oninput = () => {
    wish.opacity = Number(slider.value);
    change(true);
  };
  const legend = explain(layer);
  if (legend) element.append(legend);
  Object.assign(layer, { element, box, legendElement: legend });
  return element;
}

// What the colours of a layer mean; null where it has none.
function explain(layer) {
  if (layer.ramp) {
    const canvas = make("canvas", { width: 160, height: 1 });
    const context = canvas.getContext("2d");
    const ramp = context.createLinearGradient(0, 0, 160, 0);
    RAMP.forEach((colour, place) => ramp.addColorStop(place / (RAMP.length - 1), colour));
    context.fillStyle = ramp;
    context.fillRect(0, 0, 160, 1);
    return make("div", { className: "legend ramp" }, make("b", { textContent: layer.ramp }), "0", canvas, "1");
  }
  if (!layer.legend.length) return null;
  const swatches = layer.legend.map(([name, colour]) => {
    const swatch = make("i");
    swatch.style.background = colour;
    return make("span", {}, swatch, name);
  });
  return make("div", { className: "legend" }, ...swatches);
}

// The address of a place: the centre in level-0 px, screen px per px of the slide.
const address = ({ slide, x, y, zoom }) =>
  `#${new URLSearchParams({ slide, x: Math.round(x), y: Math.round(y), zoom: Number(zoom.toPrecision(4)) })}`;

// The slide that an address names, its number among `names`, and the place where it names one.
function linked(names) {
  const view = new URLSearchParams(location.hash.slice(1));
  const [x, y, zoom] = ["x", "y", "zoom"].map((name) => Number.parseFloat(view.get(name)));
  const place = [x, y, zoom].every(Number.isFinite) && zoom > 0 ? { x, y, zoom } : null;
  return { number: names.indexOf(view.get("slide")), place };
}

async function copy() {
  try {
    await navigator.clipboard.writeText(location.href);
    at("link").textContent = "copied";
  } catch {
    at("link").textContent = "see the address bar";
  }
  setTimeout(() => (at("link").textContent = "copy link"), 1500);
}

// Draw the scale bar where a px of the screen is so many um wide.
function rule(um) {
  const power = 10 ** Math.floor(Math.log10(um * BAR));
  const length = [5, 2, 1].map((step) => step * power).find((step) => step <= um * BAR);
  at("length").textContent = words(length);
  at("bar").style.width = `${length / um}px`;
}
