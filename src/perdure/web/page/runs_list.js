/** The runs that a list shows: read part by part, renewed where something changed. */

const PART = 200; // runs of one answer
const FRESH = 50; // of the newest, when something changed
const SUMMED = 40; // summaries of one answer

/** Owns: requests under way. Lifecycle: `close`. */
export class RunList {
  /** `filters`: query of GET /runs; `onChange` is told when anything changed. */
  constructor(api, filters, onChange) {
    this.api = api;
    this.filters = filters;
    this.onChange = onChange;
    this.abort = new AbortController();
    this.rows = []; // {head, work, isStale}, the newest first
    this.byId = new Map();
    this.pending = []; // heads of runs that are newer than the first row
    this.after = null; // cursor of the next part; null: all are there
    this.looked = null; // how far a search looked by now
    this.error = null;
    this.isReading = false;
    this.hasBegun = false;
    this.isSumming = false;
  }

  close() {
    this.abort.abort();
  }

  /** Return whether more may be read */
  get hasMore() {
    return !this.hasBegun || this.after !== null;
  }

  /** Read the next part, unless one is being read. */
  async more() {
    if (this.isReading || !this.hasMore) return;
    this.isReading = true;
    this.onChange();
    try {
      const query = { ...this.filters, limit: PART, after: this.after };
      const part = await this.read("/runs", query);
      for (const head of part.runs) this.add(head);
      this.after = part.after;
      this.hasBegun = true;
      this.error = null;
      if (part.looked) {
        this.looked = {
          runs: (this.looked?.runs ?? 0) + part.looked.runs,
          oldest: part.looked.oldest ?? this.looked?.oldest ?? null,
        };
      }
    } catch (error) {
      if (error.name === "AbortError") return;
      this.error = error;
    }
    this.isReading = false;
    this.onChange();
  }

  read(path, query) {
    return this.api.get(path, query, { signal: this.abort.signal });
  }

  add(head) {
    if (this.byId.has(head.id)) return;
    this.rows.push(this.known(head));
  }

  known(head) {
    const row = { head, work: null, isStale: false };
    this.byId.set(head.id, row);
    return row;
  }

  /** Note what changed, for rows that are seen; tell whether there may be other runs. */
  changed({ runs, statuses, all }) {
    let hasOther = statuses || all;
    for (const id of runs) {
      const row = this.byId.get(id);
      if (row) row.isStale = true;
      else hasOther = true;
    }
    if (!statuses && !all) return hasOther;
    for (const row of this.rows) {
      row.isStale ||= all || row.head.status !== "completed"; // others may be retried
    }
    return true;
  }

  /** Read the newest runs, and keep those that are not in the list for `takePending`. */
  async lookForNew() {
    if (!this.hasBegun || this.filters.text) return; // a search is too dear to be done all the time
    try {
      const { runs } = await this.read("/runs", { ...this.filters, limit: FRESH });
      const known = runs.findIndex((head) => this.byId.has(head.id));
      for (const head of runs) {
        const row = this.byId.get(head.id);
        if (row && row.head.status !== head.status) row.isStale = true;
      }
      this.pending = known < 0 ? runs : runs.slice(0, known);
      this.isGap = known < 0 && runs.length === FRESH && this.rows.length > 0;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.error = error;
    }
    this.onChange();
  }

  /** Put the runs that came meanwhile before the first row. */
  takePending() {
    const heads = this.pending.filter((head) => !this.byId.has(head.id));
    this.pending = [];
    if (this.isGap) { // more came than one answer has: begin anew
      this.rows = [];
      this.byId.clear();
      this.hasBegun = this.isGap = false;
      this.after = this.looked = null;
      this.more();
      return;
    }
    this.rows.unshift(...heads.map((head) => this.known(head)));
    this.onChange();
  }

  /** Read anew what has changed of these rows, or was never read; tell whether anything was. */
  async renew(rows) {
    const wanted = rows.filter((row) => row.isStale || !row.work).slice(0, SUMMED);
    if (this.isSumming || !wanted.length) return false;
    this.isSumming = true;
    for (const row of wanted) row.isStale = false;
    try {
      const ids = wanted.map((row) => row.head.id).join(",");
      const { runs } = await this.read("/summaries", { runs: ids });
      for (const { work, ...head } of runs) this.byId.set(head.id, this.renewed(head, work));
      return runs.length > 0;
    } catch (error) {
      for (const row of wanted) row.isStale = true;
      if (error.name !== "AbortError") this.error = error;
      return false;
    } finally {
      this.isSumming = false;
    }
  }

  /** Replace a row by a new object, so that who drew the old one sees that it is another. */
  renewed(head, work) {
    const old = this.byId.get(head.id);
    const row = { head, work, isStale: old.isStale };
    this.rows[this.rows.indexOf(old)] = row;
    return row;
  }
}
