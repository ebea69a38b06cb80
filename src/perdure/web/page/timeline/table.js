// The timeline in words, for screen readers: a table of the same bars.

import { e, replace } from "../dom.js";
import { duration } from "../format.js";
import { clock } from "./axis.js";

const MOST = 1000;

/** Fill a table with the bars of a layout. */
export function fillTable(table, layout) {
  const row = (tag, cells) => e("tr", cells.map((text) => e(tag, text)));
  const rows = [row("th", ["action", "what", "status", "began", "took"])];
  let left = MOST;
  let passed = 0;
  for (const lane of layout.lanes) {
    for (const bar of [lane.bar, ...lane.bars]) {
      if (left-- <= 0) {
        passed += 1;
        continue;
      }
      const took = duration(bar.end - bar.begin);
      rows.push(row("td", [lane.name, bar.label, bar.status, clock(bar.begin, 1), took]));
    }
  }
  if (passed) rows.push(row("td", [`and ${passed} more, in the tab Journal`]));
  replace(table, rows);
}
