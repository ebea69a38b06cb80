// Draws a layout on a canvas: what of it is visible, and no more.

import { duration } from "../format.js";
import { clock, day, firstFrom, marks } from "./axis.js";
import { HEADER, ROW, STRIP } from "./layout.js";
import { fill, line, paintBar, patternsOf } from "./paint.js";

export const AXIS = 28; // px: the time axis, always in sight
const LEAST_MARK = 84; // px between two marks of the axis
const FONT = 12;
const CHIP = 18; // px: the height of a text on a ground of its own

/**
 * Draw what is visible; the context's unit is a CSS pixel.
 *
 * @param view {begin, end: positions of the axis, top: px above what is seen, width, height: px,
 *   selected, hovered: ids, pointer: px or null}
 * @returns {bars, lanes, labels}: how many of each were drawn.
 */
export function draw(context, layout, view, colours) {
  const scene = {
    context, layout, view, colours, patterns: patternsOf(context, colours),
    x: (time) => xOf(layout, view, time),
    counts: { bars: 0, lanes: 0, labels: 0 },
    widths: widthsOf(context, `11px ${colours.sans}`),
  };
  fill(context, colours.ground, 0, 0, view.width, view.height);
  context.textBaseline = "middle";
  drawGrid(scene);
  context.save();
  context.beginPath();
  context.rect(0, AXIS, view.width, view.height - AXIS);
  context.clip();
  drawFolds(scene);
  drawBeginnings(scene, false);
  for (const lane of layout.lanes) drawLane(scene, lane);
  drawArrows(scene);
  drawBeginnings(scene, true);
  drawFoldNotes(scene);
  context.restore();
  drawPointer(scene);
  return scene.counts;
}

/** Return the px of a time. */
export function xOf(layout, view, time) {
  const share = (layout.axis.position(time) - view.begin) / (view.end - view.begin);
  return share * view.width;
}

/** Return the position of the axis below a px. */
export function positionAt(view, x) {
  return view.begin + (x / view.width) * (view.end - view.begin);
}

/** Return what is below a point: {bar, lane}, either may be undefined. */
export function hit(layout, view, x, y) {
  if (y < AXIS) return {};
  const at = y - AXIS + view.top;
  const lane = layout.lanes.find((each) => at >= each.y && at < each.y + each.height);
  if (!lane) return {};
  const row = Math.floor((at - lane.y - HEADER) / ROW);
  if (row < 0) return { lane, bar: lane.bar };
  let best;
  for (const bar of lane.rows[row] ?? []) {
    const from = xOf(layout, view, bar.begin) - 3;
    const to = Math.max(xOf(layout, view, bar.end), from + 6) + 3;
    if (x >= from && x <= to) best = bar;
  }
  return { lane, bar: best };
}

function drawGrid({ context, layout, view, colours, x }) {
  context.font = `11px ${colours.sans}`;
  const least = ((view.end - view.begin) / view.width) * LEAST_MARK;
  let taken = -Infinity;
  let shownDay = "";
  for (const { time, step } of marks(layout.axis, view.begin, view.end, least)) {
    const at = Math.round(x(time)) + 0.5;
    line(context, at, AXIS - 5, at, view.height, colours.line);
    const today = day(time);
    const text = today === shownDay || step >= 86_400_000 ? clock(time, step) : `${today}, ${clock(time, step)}`;
    const width = context.measureText(text).width;
    if (at - 2 < taken || at + width + 4 > view.width) continue;
    shownDay = today;
    context.fillStyle = colours.dim;
    context.fillText(text, at + 4, AXIS / 2);
    taken = at + width + 14;
  }
  line(context, 0, AXIS - 0.5, view.width, AXIS - 0.5, colours.line);
}

/** Draw time that was idle: a strip between two strokes. */
function drawFolds({ context, layout, view, colours, x }) {
  for (const fold of layout.axis.folds) {
    const from = Math.round(x(fold.from)) + 0.5;
    const to = Math.round(x(fold.to)) - 0.5;
    if (to < 0 || from > view.width) continue;
    fill(context, colours.sunken, from, AXIS, to - from, view.height);
    line(context, from, AXIS, from, view.height, colours.faint, [2, 3]);
    line(context, to, AXIS, to, view.height, colours.faint, [2, 3]);
  }
}

/** Write how long each idle time was, at its foot and over everything. */
function drawFoldNotes(scene) {
  const { layout, view, colours, x } = scene;
  let taken = -Infinity;
  for (const fold of layout.axis.folds) {
    const [from, to] = [x(fold.from), x(fold.to)];
    if (to < 0 || from > view.width || (from + to) / 2 < taken) continue;
    const middle = (from + to) / 2;
    taken = chip(scene, duration(fold.to - fold.from), middle, view.height - 21, colours.ground, colours.dim);
  }
}

/** Write a text around a px, within what is seen; return the px that it ends at. */
function chip({ context, view, colours, widths }, text, middle, top, back, colour) {
  context.font = `11px ${colours.sans}`;
  const width = widths.width(text) + 12;
  const left = Math.min(Math.max(middle - width / 2, 0), view.width - width);
  fill(context, back, left, top, width, CHIP);
  context.fillStyle = colour;
  context.fillText(text, left + 6, top + CHIP / 2 + 0.5);
  return left + width;
}

function drawLane(scene, lane) {
  const { context, layout, view, colours, x } = scene;
  const y = AXIS + lane.y - view.top;
  if (y > view.height || y + lane.height < AXIS) return;
  scene.counts.lanes += 1;
  line(context, 0, Math.round(y) + 0.5, view.width, Math.round(y) + 0.5, colours.line);
  context.font = `11px ${colours.sans}`; // of the labels; see `widths`
  lane.rows.forEach((row, index) => {
    const top = y + HEADER + index * ROW;
    if (top > view.height || top + ROW < AXIS) return;
    drawRow(scene, row, top);
  });
  const from = Math.max(x(lane.bar.begin), -2);
  const to = Math.min(x(lane.bar.end), view.width + 2);
  if (to > 0 && from < view.width) {
    fill(context, lane.status === "failed" ? colours.failed : colours.faint, from, y + HEADER - 4, Math.max(to - from, 2), 2);
  }
  const edge = AXIS + (layout.beginnings.length ? STRIP : 0);
  drawName(scene, lane, Math.min(Math.max(y, edge), y + lane.height - HEADER));
}

/** Draw an action's name; it stays in sight while anything of its lane is. */
function drawName({ context, view, colours }, lane, y) {
  const fonts = [`600 ${FONT}px ${colours.sans}`, `${FONT}px ${colours.sans}`];
  const strong = lane.status === "failed" ? colours.failed : colours.text;
  const number = lane.event ? ` ${lane.event}` : "";
  const note = lane.status === "completed" ? "" : `  ${lane.status}`;
  const texts = [
    [lane.name, fonts[0], strong],
    [`  on ${eventName(lane.type)}${number}`, fonts[1], colours.dim],
    [note, fonts[1], note && strong === colours.failed ? strong : colours.dim],
  ];
  let at = 10 + lane.depth * 16;
  const isSelected = view.selected === lane.bar.id;
  for (const [text, font, colour] of texts) {
    context.font = font;
    const widths = widthsOf(context, font);
    const shown = widths.cut(text, view.width - at - 20);
    const to = at + widths.width(shown);
    fill(context, isSelected ? colours.sunken : colours.ground, at, y + 1, to - at + 4, HEADER - 6);
    context.fillStyle = colour;
    context.fillText(shown, at, y + HEADER / 2 - 2);
    at = to;
  }
  if (!isSelected) return;
  fill(context, colours.accent, 0, y + 1, 3, HEADER - 6);
}

/** Return an event's type as people say it: `_input_event` is "input". */
export function eventName(type) {
  const own = /^_(.+)_event$/.exec(type ?? "");
  return own ? own[1].replaceAll("_", " ") : type || "event";
}

/** Draw the bars of a row; of those that fall on one pixel the first. */
function drawRow(scene, row, top) {
  const { view, x, layout } = scene;
  let index = firstFrom(row, "end", layout.axis.time(view.begin));
  let drawn = -Infinity;
  let taken = Math.max(index ? x(row[index - 1].end) : 0, 0);
  for (; index < row.length; index += 1) {
    const bar = row[index];
    const from = x(bar.begin);
    if (from > view.width) break;
    const to = Math.max(x(bar.end), from + 1.5);
    if (to < 0 || (to < drawn + 1 && bar.id !== view.selected && bar.status !== "raised")) continue;
    drawn = to;
    const next = row[index + 1];
    const room = (next ? x(next.begin) : view.width) - to;
    const roomBefore = from - taken;
    taken = paintBar(scene, bar, { from, to, top, height: ROW, room, roomBefore });
    scene.counts.bars += 1;
  }
}

/** Draw where processes began: a crash is a line over everything. */
function drawBeginnings(scene, isAbove) {
  const { context, layout, view, colours, x } = scene;
  let taken = -Infinity;
  for (const each of layout.beginnings) {
    const at = Math.round(x(each.at)) + 0.5;
    const since = x(each.since ?? each.at);
    if (at < -200 || since > view.width) continue;
    const colour = each.isCrash ? colours.failed : colours.faint;
    if (isAbove) {
      line(context, at, AXIS, at, view.height, colour, each.isCrash ? [] : [4, 4], each.isCrash ? 1.5 : 1);
      taken = drawBeginningsName(scene, each, at, taken);
    } else if (each.isCrash) {
      context.globalAlpha = 0.08;
      fill(context, colour, since, AXIS, at - since, view.height);
      context.globalAlpha = 1;
    }
  }
}

/** Write what began beside its line, shorter where another is near; return the px that it ends at. */
function drawBeginningsName(scene, each, at, taken) {
  const { colours, view, widths } = scene;
  const back = each.isCrash ? colours.failed : colours.sunken;
  const colour = each.isCrash ? colours.ground : colours.dim;
  const long = each.isCrash && each.since < each.at ? `crash · ${each.label}` : each.label;
  scene.context.font = `11px ${colours.sans}`;
  for (const text of [long, `${each.process.number}`]) {
    const half = widths.width(text) / 2 + 6;
    const middle = at + 2 * half > view.width ? at - half : at + half;
    if (middle - half >= taken) return chip(scene, text, middle, AXIS, back, colour);
  }
  return taken;
}

/** Draw from the selected bar's action: which event began it, and which actions its events began. */
function drawArrows({ context, layout, view, colours, x }) {
  const selected = layout.bars.get(view.selected);
  if (!selected) return;
  const { detail, action } = selected;
  const lanes = layout.lanes.filter((lane) => lane.detail === detail);
  const own = selected.lane;
  const cause = detail.events.find((event) => event.number === action.event);
  const source = lanes.find((lane) => cause && lane.event === cause.source_event && lane.name === cause.action);
  const sent = detail.events.filter((e) => e.source_event === action.event && e.action === action.name);
  const arrow = (from, to) => {
    const [x0, y0] = [x(from.bar.end), AXIS + from.y + HEADER - 3 - view.top];
    const [x1, y1] = [x(to.bar.begin), AXIS + to.y + HEADER - 3 - view.top];
    if (Math.max(x0, x1) < -500 || Math.min(x0, x1) > view.width + 500) return;
    context.strokeStyle = colours.accent;
    context.fillStyle = colours.accent;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(x0, y0);
    const bend = Math.max(24, Math.min(Math.abs(x1 - x0) / 2, 80));
    context.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1 - 5, y1);
    context.stroke();
    context.beginPath();
    context.moveTo(x1, y1);
    context.lineTo(x1 - 7, y1 - 3.5);
    context.lineTo(x1 - 7, y1 + 3.5);
    context.fill();
  };
  if (source && source !== own) arrow(source, own);
  for (const event of sent) {
    for (const lane of lanes) if (lane.event === event.number) arrow(own, lane);
  }
}

/** Draw a hair line below the pointer, with its time in the axis. */
function drawPointer(scene) {
  const { context, layout, view, colours } = scene;
  if (view.pointer === null) return;
  const at = Math.round(view.pointer) + 0.5;
  line(context, at, AXIS, at, view.height, colours.faint, [2, 2]);
  const time = layout.axis.time(positionAt(view, view.pointer));
  const text = `${clock(time, 1)}  +${duration(Math.max(time - layout.first, 0))}`;
  chip(scene, text, at, 5, colours.text, colours.ground);
}

const MOST_WIDTHS = 4000;
const measured = new Map();

/**
 * Return what cuts texts of a font, which the context must have, to a width. Widths are kept.
 */
function widthsOf(context, font) {
  if (!measured.has(font)) measured.set(font, new Map());
  const known = measured.get(font);
  const width = (text) => {
    let found = known.get(text);
    if (found === undefined) {
      if (known.size > MOST_WIDTHS) known.clear();
      found = context.measureText(text).width;
      known.set(text, found);
    }
    return found;
  };
  const cut = (text, room) => {
    if (room < 12) return "";
    if (width(text) <= room) return text;
    const share = Math.floor((text.length * room) / width(text)) - 1;
    return share > 0 ? `${text.slice(0, share)}…` : "";
  };
  return { width, cut };
}
