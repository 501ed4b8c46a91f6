// Lanes: one per worker slot, bars for runs, a thin line for the wait, ticks for stream chunks.
// Drawing touches only what is in view, and merges what is narrower than a pixel.

const LANE_PX = 28;
const BAR_PX = 16;
const BAR_TOP = 4;
const QUEUE_LANE_PX = 16;
const MIN_BAR_PX = 3;

/** First position in a lane whose bar ends after a time. Bars of a lane do not overlap. */
function firstAfter(jobs, lane, time, now) {
  let low = 0;
  let high = lane.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (jobs.stop(lane[mid], now) < time) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** The job under a point of a lane, within a few pixels; -1 if there is none. */
function jobNear(jobs, lane, axis, x, now) {
  const time = axis.time(x);
  const at = firstAfter(jobs, lane, time, now);
  let best = -1;
  let distance = 5;
  for (let k = Math.max(0, at - 1); k < Math.min(lane.length, at + 2); k += 1) {
    const x0 = axis.x(jobs.started[lane[k]]);
    const x1 = Math.max(x0 + MIN_BAR_PX, axis.x(jobs.stop(lane[k], now)));
    const d = x < x0 ? x0 - x : x > x1 ? x - x1 : 0;
    if (d < distance || (d === 0 && distance === 0)) {
      best = lane[k];
      distance = d;
    }
  }
  return best;
}

/** Jobs running at a time: one look per lane. */
function runningAt(jobs, lanes, time, now) {
  const found = [];
  for (const lane of lanes) {
    const i = lane.jobs[firstAfter(jobs, lane.jobs, time, now)];
    if (i !== undefined && jobs.started[i] <= time) found.push(i);
  }
  return found;
}

/** Bars of one lane that are in view, narrow neighbours of the same state merged. */
function barsInView(jobs, lane, axis, now) {
  const bars = [];
  const end = axis.time(axis.width);
  let last = null;
  for (let k = firstAfter(jobs, lane, axis.time(0), now); k < lane.length; k += 1) {
    const i = lane[k];
    if (jobs.started[i] > end) break;
    const x0 = axis.x(jobs.started[i]);
    const x1 = Math.max(x0 + MIN_BAR_PX, axis.x(jobs.stop(i, now)));
    const narrow = x1 - x0 <= MIN_BAR_PX;
    if (last && narrow && last.narrow && x0 < last.x1 && jobs.state[i] === last.state && !jobs.findings[i] === !last.findings) {
      last.x1 = Math.max(last.x1, x1);
      last.merged = true;
      continue;
    }
    last = { i, x0, x1, narrow, state: jobs.state[i], findings: jobs.findings[i], merged: false };
    bars.push(last);
  }
  return bars;
}

function barPath(g, x, y, w, h, r) {
  if (w < 4) g.rect(x, y, w, h);
  else g.roundRect(x, y, w, h, Math.min(r, w / 2));
}

/** Draw one lane with its top at y. */
function drawLane(g, jobs, lane, axis, y, now, look) {
  const bars = barsInView(jobs, lane.jobs, axis, now);
  drawWaits(g, jobs, bars, axis, y + BAR_TOP + BAR_PX + 3, look);
  const byState = new Map();
  for (const bar of bars) {
    if (!byState.has(bar.state)) byState.set(bar.state, []);
    byState.get(bar.state).push(bar);
  }
  for (const [state, list] of byState) {
    g.fillStyle = state === LOST ? look.lostPattern(g) : look.state[state];
    g.beginPath();
    for (const bar of list) {
      // a hair of space keeps neighbours apart
      const w = Math.max(1.5, bar.x1 - bar.x0 - (bar.narrow ? 0.5 : 1));
      barPath(g, bar.x0, y + BAR_TOP, w, BAR_PX, 3);
    }
    g.fill();
  }
  for (const bar of bars) {
    if (!bar.merged && bar.x1 - bar.x0 > 6) drawBarMarks(g, jobs, bar, axis, y + BAR_TOP, look);
    if (bar.findings) {
      g.fillStyle = look.finding;
      g.strokeStyle = look.surface;
      g.lineWidth = 1.5;
      g.beginPath();
      g.arc(Math.max(bar.x0 + 2, bar.x1 - 4), y + BAR_TOP, 3, 0, 7);
      g.fill();
      g.stroke();
    }
  }
}

function drawWaits(g, jobs, bars, axis, y, look) {
  g.fillStyle = look.wait;
  g.beginPath();
  let until = -Infinity;
  for (const bar of bars) {
    const x0 = axis.x(jobs.submitted[bar.i]);
    const x1 = bar.x0;
    if (x1 - x0 < 3 || x1 <= until) continue;
    const from = Math.max(x0, until + 1, -4);
    g.roundRect(from, y, Math.max(1, x1 - from), 2.5, 1.25);
    until = x1;
  }
  g.fill();
}

/** What says the state without colour, and the chunks of a stream. */
function drawBarMarks(g, jobs, bar, axis, y, look) {
  const { i, x0, x1, state } = bar;
  const ticks = jobs.ticks.get(i);
  if (ticks) {
    g.fillStyle = look.onBarSoft;
    let last = -Infinity;
    for (const ms of ticks) {
      const x = axis.x(jobs.submitted[i] + ms / 1000);
      if (x < x0 + 2 || x > x1 - 2 || x - last < 2.5 || x < -2) continue;
      if (x > axis.width) break;
      g.fillRect(Math.round(x), y + 3, 1, BAR_PX - 6);
      last = x;
    }
  }
  const right = Math.min(x1, axis.width);
  const middle = (Math.max(x0, 0) + right) / 2;
  const cy = y + BAR_PX / 2;
  if (state === RUNNING) {
    // a notch at the right end: still running
    g.fillStyle = look.surface;
    g.beginPath();
    g.moveTo(x1 - 1, y);
    g.lineTo(x1 - 6, cy);
    g.lineTo(x1 - 1, y + BAR_PX);
    g.closePath();
    g.fill();
    return;
  }
  if (right - Math.max(x0, 0) < 11) return;
  g.strokeStyle = look.onBar;
  g.fillStyle = look.onBar;
  g.lineWidth = 1.6;
  g.lineCap = "round";
  g.beginPath();
  if (state === FAILED) {
    g.moveTo(middle, cy - 4.5);
    g.lineTo(middle, cy + 0.8);
    g.moveTo(middle, cy + 4.2);
    g.lineTo(middle, cy + 4.3);
  } else if (state === CANCELLED) {
    g.moveTo(middle - 3, cy - 3);
    g.lineTo(middle + 3, cy + 3);
    g.moveTo(middle + 3, cy - 3);
    g.lineTo(middle - 3, cy + 3);
  } else if (state === TIMED_OUT) {
    g.arc(middle, cy, 4.5, 0, 6.3);
    g.moveTo(middle, cy - 2.5);
    g.lineTo(middle, cy);
    g.lineTo(middle + 2, cy + 1);
  }
  g.stroke();
}

/** Jobs that never reached a slot, or have not yet: thin lines, merged, in a lane of their own. */
function drawQueueLane(g, jobs, axis, y, now, look) {
  const marks = [];
  for (const i of jobs.waiting) {
    const x0 = axis.x(jobs.submitted[i]);
    const x1 = Math.max(x0 + MIN_BAR_PX, axis.x(jobs.stop(i, now)));
    if (x1 >= 0 && x0 <= axis.width) marks.push([x0, x1, jobs.state[i]]);
  }
  marks.sort((a, b) => a[0] - b[0]);
  const merged = [];
  for (const [x0, x1, state] of marks) {
    const last = merged[merged.length - 1];
    if (last && last[2] === state && x0 <= last[1] + 1) last[1] = Math.max(last[1], x1);
    else merged.push([x0, x1, state]);
  }
  for (const [x0, x1, state] of merged) {
    g.fillStyle = state === QUEUED ? look.wait : state === LOST ? look.lostPattern(g) : look.state[state];
    g.beginPath();
    g.roundRect(x0, y + 5, x1 - x0, 6, 3);
    g.fill();
  }
}

/** The outline of the selected or hovered bar. */
function drawOutline(g, jobs, i, axis, y, now, look, strong) {
  const x0 = axis.x(jobs.started[i]);
  const x1 = Math.max(x0 + MIN_BAR_PX, axis.x(jobs.stop(i, now)));
  if (x1 < -4 || x0 > axis.width + 4) return;
  const from = Math.max(x0, -4);
  g.strokeStyle = strong ? look.text : look.textSoft;
  g.lineWidth = strong ? 2 : 1;
  g.beginPath();
  g.roundRect(from - 2.5, y + BAR_TOP - 2.5, Math.min(x1, axis.width + 4) - from + 4, BAR_PX + 5, 4.5);
  g.stroke();
}
