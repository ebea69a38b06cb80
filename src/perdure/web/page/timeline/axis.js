// Time on x: wall clock, in which long idle stretches are folded to a narrow one.
//
// Times are ms since the epoch. A position is ms too, but of folded time: 0 is the axis' beginning,
// `length` its end. Both grow together; where nothing is folded they differ by a constant.

import { DAY, HOUR, MINUTE, SECOND } from "../format.js";

const SHORTEST_FOLD = 1000; // ms: what is idle for less is shown as it is
const FOLDED_SHARE = 0.05; // of the busy time, for one fold
const ALL_FOLDED_SHARE = 0.4; // of the busy time, for all folds together

/** Return intervals [from, to] in order, joined where they touch. */
export function merged(intervals) {
  const sorted = intervals.filter(([from, to]) => to >= from).sort((a, b) => a[0] - b[0]);
  const found = [];
  for (const [from, to] of sorted) {
    const last = found.at(-1);
    if (last && from <= last[1]) last[1] = Math.max(last[1], to);
    else found.push([from, to]);
  }
  return found;
}

/** Return how long intervals are together. */
export function lengthOf(intervals) {
  return intervals.reduce((sum, [from, to]) => sum + to - from, 0);
}

/** The time axis of one run. */
export class Axis {
  /** From `first` to `last`; of what is not `busy`, intervals of it, long stretches may be folded. */
  constructor(first, last, busy, folds = true) {
    const end = Math.max(last, first + 1);
    const stretches = merged(busy.map(([a, b]) => [Math.max(a, first), Math.min(b, end)]));
    const total = lengthOf(stretches);
    const room = Math.max(total * 0.02, 5); // around what is busy, so that it touches no fold
    const least = Math.max(total * 0.5, SHORTEST_FOLD);
    const gaps = [];
    let at = first;
    for (const [from, to] of [...stretches, [end, end]]) {
      const begins = at === first ? first : at + room;
      const ends = from === end ? end : from - room;
      if (folds && ends - begins > least) gaps.push([begins, ends]);
      at = Math.max(at, to);
    }
    const share = Math.min(FOLDED_SHARE, ALL_FOLDED_SHARE / Math.max(gaps.length, 1));
    const width = Math.max(total, SHORTEST_FOLD / 4) * share;
    /** Pieces in order: {from, to} in time, {begin, end} as positions, and whether it is folded. */
    this.pieces = [];
    let position = 0;
    const add = (from, to, isFold) => {
      if (to <= from) return;
      const length = isFold ? width : to - from;
      this.pieces.push({ from, to, begin: position, end: position + length, isFold });
      position += length;
    };
    at = first;
    for (const [from, to] of gaps) {
      add(at, from, false);
      add(from, to, true);
      at = to;
    }
    add(at, end, false);
    this.length = position;
    this.first = first;
    this.last = end;
  }

  /** Return the position of a time; before the beginning 0, behind the end `length`. */
  position(time) {
    const piece = this.#piece(time, "to");
    if (time <= piece.from) return piece.begin;
    if (time >= piece.to) return piece.end;
    const share = (time - piece.from) / (piece.to - piece.from);
    return piece.begin + share * (piece.end - piece.begin);
  }

  /** Return the time at a position. */
  time(position) {
    const piece = this.#piece(position, "end");
    const share = (position - piece.begin) / (piece.end - piece.begin);
    return piece.from + Math.min(Math.max(share, 0), 1) * (piece.to - piece.from);
  }

  /** Return the folded pieces. */
  get folds() {
    return this.pieces.filter((piece) => piece.isFold);
  }

  #piece(value, field) {
    const { pieces } = this;
    return pieces[Math.min(firstFrom(pieces, field, value), pieces.length - 1)];
  }
}

/** Return the index of the first item, of some in order, of which a field is not below a value. */
export function firstFrom(items, field, value) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (items[middle][field] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

const STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500,
  SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 28 * DAY, 364 * DAY,
];

/**
 * Return where the axis is marked: [{time, step}], between two positions.
 *
 * @param least ms of folded time between two marks at least.
 */
export function marks(axis, begin, end, least) {
  const step = STEPS.find((each) => each >= least) ?? STEPS.at(-1);
  const found = [];
  for (const piece of axis.pieces) {
    if (piece.isFold || piece.end < begin || piece.begin > end) continue;
    const from = Math.max(piece.from, axis.time(Math.max(begin, piece.begin)));
    const to = Math.min(piece.to, axis.time(Math.min(end, piece.end)));
    const shift = step >= MINUTE ? new Date(from).getTimezoneOffset() * MINUTE : 0; // local time
    for (let time = Math.ceil((from - shift) / step) * step + shift; time <= to; time += step) {
      found.push({ time, step });
    }
  }
  return found;
}

/** Return a time of day as a mark has it: as exact as its step. */
export function clock(time, step) {
  const date = new Date(time);
  const two = (number) => String(number).padStart(2, "0");
  const minutes = `${two(date.getHours())}:${two(date.getMinutes())}`;
  if (step >= DAY) return day(time);
  if (step >= MINUTE) return minutes;
  const seconds = `${minutes}:${two(date.getSeconds())}`;
  if (step >= SECOND) return seconds;
  const digits = step >= 100 ? 1 : step >= 10 ? 2 : 3;
  const ms = time - Math.floor(time / SECOND) * SECOND;
  return `${seconds}.${String(Math.floor(ms)).padStart(3, "0").slice(0, digits)}`;
}

const DAYS = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** Return a day in short. */
export function day(time) {
  return DAYS.format(time);
}
