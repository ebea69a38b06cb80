// How one bar looks: each part has a shape of its own beside its colour.

const INSET = 3; // px above and below a bar in its row
const TEXT_ROOM = 6;
const LEAST_TEXT = 56; // px: a bar with less room than this, and than its label needs, has none

let kept = {};

/** Return the fill patterns of a theme: `held` is striped, `queued` dotted, `replayed` hatched. */
export function patternsOf(context, colours) {
  const key = `${colours.held} ${colours.queued} ${colours.ground} ${colours.replayed}`;
  if (kept.key !== key) {
    kept = {
      key,
      held: tile(context, 4, (c) => line(c, 1, 0, 1, 4, colours.held, [], 1.6)),
      queued: tile(context, 4, (c) => {
        c.fillStyle = colours.queued;
        c.fillRect(0, 0, 2, 2);
        c.fillRect(2, 2, 2, 2);
      }),
      replayed: tile(context, 6, (c) => {
        for (const at of [-4, -1, 2]) line(c, at, at + 8, at + 8, at, colours.ground, [], 1.6);
      }),
    };
  }
  return kept;
}

function tile(context, size, paint) {
  const canvas = document.createElement("canvas");
  canvas.width = size;
  canvas.height = size;
  paint(canvas.getContext("2d"));
  return context.createPattern(canvas, "repeat");
}

/** Fill a box. */
export function fill(context, style, x, y, width, height) {
  context.fillStyle = style;
  context.fillRect(x, y, width, height);
}

/** Draw a line. */
export function line(context, x0, y0, x1, y1, colour, dashes = [], width = 1) {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash(dashes);
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
  context.setLineDash([]);
}

/**
 * Paint a bar; return the px up to which there is something.
 *
 * @param place {from, to, top, height: px, room, roomBefore: px free behind and before it}
 */
export function paintBar(scene, bar, place) {
  const { context, view, colours, x } = scene;
  const isSelected = view.selected === bar.id;
  const isHovered = view.hovered === bar.id;
  const y = Math.round(place.top) + INSET;
  const height = place.height - 2 * INSET;
  const box = { from: Math.max(place.from, -4), to: Math.min(place.to, view.width + 4), y, height };
  if (bar.call?.superseded) context.globalAlpha = 0.45;
  if (bar.parts.length) {
    for (const part of bar.parts) paintPart(scene, bar, part, box);
    if (bar.replayed) {
      fill(context, scene.patterns.replayed, box.from, y, box.to - box.from, height);
    }
    for (const at of bar.notches) {
      fill(context, colours.text, Math.round(x(at)) - 1, y - 2, 2, height + 4);
    }
    if (bar.isOpen) paintOpenEnd(scene, box);
  } else paintLine(scene, bar, box);
  context.globalAlpha = 1;
  if (isSelected || isHovered) {
    context.strokeStyle = isSelected ? colours.accent : colours.dim;
    context.lineWidth = isSelected ? 2 : 1;
    context.strokeRect(box.from - 1.5, y - 1.5, Math.max(box.to - box.from, 2) + 3, height + 3);
  }
  return Math.max(paintLabel(scene, bar, box, place), box.to);
}

function paintPart(scene, bar, part, box) {
  const { context, colours, patterns, x } = scene;
  const from = Math.max(x(part.from), box.from);
  const to = Math.min(Math.max(x(part.to), from + 1), Math.max(box.to, from + 1));
  if (to < 0 || from > scene.view.width) return;
  const { y, height } = box;
  if (part.kind === "backoff") {
    line(context, from, y + height / 2, to, y + height / 2, colours.backoff, [3, 3], 1.5);
  } else if (part.kind === "held" || part.kind === "queued") {
    fill(context, patterns[part.kind], from, y + 2, to - from, height - 4);
  } else {
    fill(context, colourOf(part.kind, bar, colours), from, y, to - from, height);
  }
}

function colourOf(kind, bar, colours) {
  if (kind === "failed") return colours.failed;
  if (kind === "committing") return colours.committing;
  if (kind === "child") return colours.faint;
  if (bar.replayed) return colours.replayed;
  return bar.isOpen ? colours.running : colours.bar;
}

function paintOpenEnd({ context, colours }, box) {
  fill(context, colours.running, box.to - 2, box.y - 2, 2, box.height + 4);
}

function paintLine({ context, colours, x }, bar, box) {
  const colour = bar.kind === "wait" ? colours.waiting : colours.dim;
  const middle = Math.round(box.y + box.height / 2) + 0.5;
  line(context, box.from, middle, box.to, middle, colour, bar.kind === "sleep" ? [2, 3] : [], bar.isOpen ? 2 : 1);
  fill(context, colour, box.from, box.y + 2, 1, box.height - 4);
  context.fillRect(box.to - 1, box.y + 2, 1, box.height - 4);
  for (const at of bar.notches) diamond(context, x(at), middle);
}

function diamond(context, x, y) {
  context.beginPath();
  context.moveTo(x, y - 4);
  context.lineTo(x + 4, y);
  context.lineTo(x, y + 4);
  context.lineTo(x - 4, y);
  context.fill();
}

/** Write the label in a bar, or beside it where there is room; return where one behind it ends. */
function paintLabel(scene, bar, box, { room, roomBefore }) {
  const { context, colours, widths, view } = scene;
  const middle = box.y + box.height / 2 + 0.5;
  const right = Math.min(box.to, view.width);
  const needed = widths.width(bar.label) + 2 * TEXT_ROOM;
  const solid = bar.parts.at(-1);
  const isPlain = solid && !bar.replayed && !["backoff", "held", "queued"].includes(solid.kind);
  const solidFrom = solid ? Math.max(scene.x(solid.from), 0) : 0;
  const inside = isPlain ? right - solidFrom : right - Math.max(box.from, 0);
  const isBehind = box.to < view.width && room > inside;
  if (isPlain && inside >= (isBehind || roomBefore >= needed ? needed : LEAST_TEXT)) {
    write(scene, widths.cut(bar.label, inside - 2 * TEXT_ROOM), solidFrom + TEXT_ROOM, middle, "on");
  } else if (box.to < view.width && room >= Math.min(needed, 2 * LEAST_TEXT)) {
    const text = widths.cut(bar.label, room - TEXT_ROOM);
    write(scene, text, box.to + TEXT_ROOM, middle, "beside");
    return box.to + 2 * TEXT_ROOM + widths.width(text);
  } else if (!isPlain && inside >= Math.min(needed, 80)) {
    const text = widths.cut(bar.label, inside - 2 * TEXT_ROOM);
    context.fillStyle = colours.ground;
    const from = Math.max(box.from, 0) + TEXT_ROOM;
    context.fillRect(from - 3, box.y + 1, widths.width(text) + 6, box.height - 2);
    write(scene, text, from, middle, "beside");
  } else if (box.from > 0 && roomBefore >= needed) {
    write(scene, bar.label, box.from - TEXT_ROOM - widths.width(bar.label), middle, "beside");
  }
  return 0;
}

function write(scene, text, x, y, where) {
  const { context, colours } = scene;
  if (!text) return;
  context.fillStyle = where === "on" ? colours.onBar : colours.text;
  context.fillText(text, x, y);
  scene.counts.labels += 1;
}
