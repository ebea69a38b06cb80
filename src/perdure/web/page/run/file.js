// A run in a file of its own: shows what is embedded in it, and asks nobody for more.

import { e, replace } from "../dom.js";
import { exact, renewAges } from "../format.js";
import { RunSheet } from "./sheet.js";

const AGES_EVERY = 10_000; // ms

const embedded = JSON.parse(document.getElementById("run").textContent);

const source = {
  records: async () => ({ records: embedded.records, after: null }),
  child: async (id) => embedded.children[id] ?? null,
};
const place = document.getElementById("screen");
const sheet = new RunSheet(place, source, {});
sheet.show(embedded.detail, { now: embedded.at });
place.append(e("p.empty", `Job ${embedded.job}, written ${exact(embedded.at)} by perdure ${embedded.version}.`));
replace(document.querySelector("title"), `${embedded.detail.run.title} · ${embedded.job}`);
setInterval(() => renewAges(), AGES_EVERY);
