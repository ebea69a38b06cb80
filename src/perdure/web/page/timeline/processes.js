// Processes on a timeline: where each began, and what of an action it replayed.

/**
 * Return where processes began or were killed while a run went on: [{at, label, isCrash, since}].
 *
 * @param last the end of the timeline: a process that was killed, and followed by none, has its
 *   mark where it was seen last.
 */
export function beginningsOf(detail, last) {
  const found = [];
  const processes = [...detail.processes].sort((a, b) => a.number - b.number);
  processes.forEach((process, index) => {
    const before = processes[index - 1];
    if (before && process.begun_at <= last) {
      const isCrash = before.status === "killed";
      found.push({
        at: process.begun_at,
        since: isCrash ? lastSeen(detail, before, process.begun_at) : before.ended_at,
        isCrash,
        process,
        label: `process ${process.number} begins`,
      });
    }
    if (process.status === "killed" && index === processes.length - 1) {
      const at = Math.min(lastSeen(detail, process, last), last);
      const label = `process ${process.number} was killed`;
      found.push({ at, since: at, isCrash: true, process, label });
    }
  });
  return found;
}

/** Return the last time that anything is known of a process: its own word, or what it wrote. */
function lastSeen(detail, process, until) {
  let seen = process.seen_at ?? process.begun_at;
  const take = (time) => {
    if (time && time < until && time > seen) seen = time;
  };
  for (const action of detail.actions) {
    take(action.started_at);
    take(action.finished_at);
    action.timers.forEach(take);
    for (const call of action.calls) take(call.settled_at);
  }
  return seen;
}

/**
 * Return a function of a time: the number of the last process that replayed what was recorded of an
 * action by then; 0 where none did.
 */
export function replayedBy(detail, action) {
  const end = action.finished_at ?? Infinity;
  const began = action.started_at ?? Infinity;
  const later = detail.processes.filter(
    (process) => process.begun_at > began && process.begun_at < end,
  );
  return (recorded) => {
    const found = later.filter((process) => recorded && recorded < process.begun_at);
    return found.length ? Math.max(...found.map((process) => process.number)) : 0;
  };
}
