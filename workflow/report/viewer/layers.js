// What the viewer and the page of the report share: the list of layers, and the scale bar.
"use strict";

const BAR = 140; // px; the scale bar is no longer
const RAMP = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"]; // viridis

const at = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const words = (um) => (um >= 1000 ? `${Number((um / 1000).toPrecision(3))} mm` : `${Number(um.toPrecision(3))} µm`);

// A layer of the list: a box, a title, the digit that toggles it, a slider. `wish` is {on, opacity};
// change(on) is called when the box or the slider is moved.
function row(layer, order, wish, change) {
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

// Draw the scale bar where a px of the screen is so many um wide.
function rule(um) {
  const power = 10 ** Math.floor(Math.log10(um * BAR));
  const length = [5, 2, 1].map((step) => step * power).find((step) => step <= um * BAR);
  at("length").textContent = words(length);
  at("bar").style.width = `${length / um}px`;
}
