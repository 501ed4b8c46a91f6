// Lanes: one per worker slot, bars for runs, a thin line for the wait, ticks for stream chunks.
// What is in view is gathered into columns that are kept from frame to frame, and what falls into one
// column of pixels is gathered as one, so a frame costs about the same for any number of jobs.

const LANE_PX = 28;
const BAR_PX = 16;
const BAR_TOP = 4;
const QUEUE_LANE_PX = 16;
const MIN_BAR_PX = 3;
const MANY_IN_COLUMN = 6; // from here on one column of pixels is passed over by halving
const DOT_GAP_PX = 7;
const SIGN_FROM_PX = 11; // a bar that wide holds the sign of its state
// what is rare is drawn over what is common
const DRAW_ORDER = [COMPLETED, LOST, CANCELLED, TIMED_OUT, FAILED, RUNNING, QUEUED];

/** The job under a point of a lane, within a few pixels; -1 if there is none. */
function jobNear(jobs, lane, axis, x, now) {
  const at = lane.ending(jobs, axis.time(x), now);
  let best = -1;
  let distance = 5;
  for (let k = Math.max(0, at - 1); k < Math.min(lane.n, at + 2); k += 1) {
    const i = lane.list[k];
    const x0 = axis.x(jobs.started[i]);
    const x1 = Math.max(x0 + MIN_BAR_PX, axis.x(jobs.stop(i, now)));
    const d = x < x0 ? x0 - x : x > x1 ? x - x1 : 0;
    if (d < distance || (d === 0 && distance === 0)) {
      best = i;
      distance = d;
    }
  }
  return best;
}

/** Jobs running at a time: one look per lane. */
function runningAt(jobs, lanes, time, now) {
  const found = [];
  for (const lane of lanes) {
    const k = lane.ending(jobs, time, now);
    if (k < lane.n && jobs.started[lane.list[k]] <= time) found.push(lane.list[k]);
  }
  return found;
}

/** Bars of one lane in view, as columns that are used again for the next lane. */
class Bars {
  constructor() {
    this.n = 0;
    this.dots = 0;
    this.grow(512);
    this.dotX = new Float32Array(256);
    this.last = new Int32Array(STATES.length);
  }

  grow(room) {
    for (const [name, Type] of [["x0", Float32Array], ["x1", Float32Array], ["job", Int32Array], ["state", Uint8Array], ["merged", Uint8Array]]) {
      const bigger = new Type(room);
      if (this[name]) bigger.set(this[name]);
      this[name] = bigger;
    }
  }

  push(i, x0, x1, state) {
    if (this.n === this.x0.length) this.grow(this.n * 2);
    this.x0[this.n] = x0;
    this.x1[this.n] = x1;
    this.job[this.n] = i;
    this.state[this.n] = state;
    this.merged[this.n] = 0;
    this.last[state] = this.n;
    this.n += 1;
  }

  dot(x) {
    if (this.dots && x - this.dotX[this.dots - 1] < DOT_GAP_PX) return;
    if (this.dots === this.dotX.length) {
      const bigger = new Float32Array(this.dots * 2);
      bigger.set(this.dotX);
      this.dotX = bigger;
    }
    this.dotX[this.dots] = x;
    this.dots += 1;
  }

  /** Gather what is in view; narrow neighbours of one state become one bar. */
  gather(jobs, lane, axis, now) {
    this.n = 0;
    this.dots = 0;
    this.last.fill(-1);
    const { list, n } = lane;
    const end = axis.time(axis.width);
    let k = lane.ending(jobs, axis.time(0), now);
    while (k < n) {
      const i = list[k];
      const start = jobs.started[i];
      if (start > end) break;
      const x0 = axis.x(start);
      let x1 = Math.max(x0 + MIN_BAR_PX, axis.x(jobs.stop(i, now)));
      const state = jobs.state[i];
      let next = k + 1;
      let many = false;
      if (x1 - x0 <= MIN_BAR_PX) {
        // everything that begins in the same column of pixels
        if (k + MANY_IN_COLUMN < n && axis.x(jobs.started[list[k + MANY_IN_COLUMN]]) - x0 < 1) {
          const column = lane.after(jobs, axis.time(x0 + 1), k + MANY_IN_COLUMN);
          if (lane.plain(jobs, k, column)) {
            next = column;
            many = true;
            x1 = Math.max(x1, axis.x(jobs.stop(list[column - 1], now)));
          }
        }
        const last = this.last[state];
        if (last >= 0 && x0 < this.x1[last] && (this.merged[last] || this.x1[last] - this.x0[last] <= MIN_BAR_PX)) {
          if (x1 > this.x1[last]) this.x1[last] = x1;
          this.merged[last] = 1;
        } else {
          this.push(i, x0, x1, state);
          this.merged[this.n - 1] = many ? 1 : 0;
        }
      } else this.push(i, x0, x1, state);
      if (jobs.findings[i]) this.dot(Math.max(x0 + 2, x1 - 4));
      k = next;
    }
  }
}

const bars = new Bars();

function barPath(g, x, y, w, h, r) {
  if (w < 4) g.rect(x, y, w, h);
  else g.roundRect(x, y, w, h, Math.min(r, w / 2));
}

/** Draw one lane with its top at y; faint: only where jobs are, for those that a filter leaves out. */
function drawLane(g, jobs, lane, axis, y, now, look, faint = false) {
  bars.gather(jobs, lane, axis, now);
  const top = y + BAR_TOP;
  if (faint) {
    drawFaint(g, top, look);
    return;
  }
  drawWaits(g, jobs, axis, top + BAR_PX + 3, look);
  for (const state of DRAW_ORDER) {
    if (bars.last[state] < 0) continue;
    g.fillStyle = state === LOST ? look.lostPattern(g) : look.state[state];
    let rounded = false;
    for (let b = 0; b < bars.n; b += 1) {
      if (bars.state[b] !== state) continue;
      const x0 = bars.x0[b];
      const wide = bars.x1[b] - x0;
      // a hair of space keeps neighbours apart; narrow ones stand on whole pixels, or they are a blur
      if (wide <= 6) g.fillRect(Math.round(x0), top, Math.max(2, Math.round(wide - 0.5)), BAR_PX);
      else {
        if (!rounded) g.beginPath();
        rounded = true;
        g.roundRect(x0, top, wide - 1, BAR_PX, 3);
      }
    }
    if (rounded) g.fill();
    if (state !== COMPLETED && state < LOST) markNarrow(g, state, top, look);
  }
  for (let b = 0; b < bars.n; b += 1) {
    if (!bars.merged[b] && bars.x1[b] - bars.x0[b] > 6) drawBarMarks(g, jobs, b, axis, top, look);
  }
  if (bars.dots) drawDots(g, top, look);
}

/** A state is never colour alone: bars too narrow for a sign are cut in their own way. */
function markNarrow(g, state, top, look) {
  g.fillStyle = look.surface;
  const [y, high] = state === FAILED ? [10, 2] : state === TIMED_OUT ? [4, 2] : state === CANCELLED ? [0, 5] : [0, 0];
  if (!high) return;
  for (let b = 0; b < bars.n; b += 1) {
    const wide = bars.x1[b] - bars.x0[b];
    if (bars.state[b] === state && wide < SIGN_FROM_PX) g.fillRect(Math.round(bars.x0[b]), top + y, Math.ceil(wide), high);
  }
}

function drawFaint(g, top, look) {
  g.fillStyle = look.faint;
  for (let b = 0; b < bars.n; b += 1) g.fillRect(bars.x0[b], top + 2, Math.max(1, bars.x1[b] - bars.x0[b] - 1), BAR_PX - 4);
}

/** A dot at the end of a bar: the job has a finding. */
function drawDots(g, top, look) {
  g.fillStyle = look.finding;
  g.strokeStyle = look.surface;
  g.lineWidth = 1.5;
  g.beginPath();
  for (let d = 0; d < bars.dots; d += 1) {
    g.moveTo(bars.dotX[d] + 3, top);
    g.arc(bars.dotX[d], top, 3, 0, 7);
  }
  g.fill();
  g.stroke();
}

function drawWaits(g, jobs, axis, y, look) {
  g.fillStyle = look.wait;
  let until = -Infinity;
  for (let b = 0; b < bars.n; b += 1) {
    const x1 = bars.x0[b];
    if (x1 <= until) continue;
    const x0 = axis.x(jobs.submitted[bars.job[b]]);
    if (x1 - x0 < 3) continue;
    const from = Math.max(x0, until + 1, -4);
    g.fillRect(from, y, Math.max(1, x1 - from), 2);
    until = x1;
  }
}

/** What says the state without colour, and the chunks of a stream. */
function drawBarMarks(g, jobs, b, axis, y, look) {
  const i = bars.job[b];
  const x0 = bars.x0[b];
  const x1 = bars.x1[b];
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
  const state = bars.state[b];
  const from = Math.max(x0, 0);
  const right = Math.min(x1, axis.width);
  const cy = y + BAR_PX / 2;
  const share = state === RUNNING ? jobs.progress.get(i) : undefined;
  if (share !== undefined) {
    // how far it says it is: a line along the foot of its bar
    g.fillStyle = look.onBar;
    g.fillRect(x0 + 2, y + BAR_PX - 4, Math.max(1, (x1 - x0 - 8) * share), 2);
  }
  if (state === RUNNING && jobs.flags[i] & FLAG.cancelAsked && right - from > 24) {
    drawSign(g, CANCELLED, right - 15, cy, look); // asked to stop, and still running
  }
  if (state === RUNNING) {
    // a notch at the right end: still running
    g.fillStyle = look.surface;
    g.beginPath();
    g.moveTo(x1 + 0.5, y - 0.5);
    g.lineTo(x1 - 6, cy);
    g.lineTo(x1 + 0.5, y + BAR_PX + 0.5);
    g.closePath();
    g.fill();
    return;
  }
  if (state !== COMPLETED && right - from >= SIGN_FROM_PX) drawSign(g, state, (from + right) / 2, cy, look);
}

/** The sign of a state: ! failed, x cancelled, a clock timed out. Centred on a point, 10 px high. */
function drawSign(g, state, x, y, look) {
  g.strokeStyle = look.onBar;
  g.lineWidth = 1.6;
  g.lineCap = "round";
  g.beginPath();
  if (state === FAILED) {
    g.moveTo(x, y - 4.5);
    g.lineTo(x, y + 0.8);
    g.moveTo(x, y + 4.2);
    g.lineTo(x, y + 4.3);
  } else if (state === CANCELLED) {
    g.moveTo(x - 3, y - 3);
    g.lineTo(x + 3, y + 3);
    g.moveTo(x + 3, y - 3);
    g.lineTo(x - 3, y + 3);
  } else if (state === TIMED_OUT) {
    g.arc(x, y, 4.5, 0, 6.3);
    g.moveTo(x, y - 2.5);
    g.lineTo(x, y);
    g.lineTo(x + 2, y + 1);
  }
  g.stroke();
}

const queueEnds = new Float32Array(STATES.length);
const queueStarts = new Float32Array(STATES.length);

/** Jobs that never reached a slot, or have not yet: thin lines, joined, in a lane of their own. */
function drawQueueLane(g, jobs, axis, y, now, look, filter) {
  queueEnds.fill(-Infinity);
  const line = (state) => {
    g.fillStyle = state === QUEUED ? look.wait : state === LOST ? look.lostPattern(g) : look.state[state];
    const from = Math.max(queueStarts[state], -8);
    g.fillRect(from, y + 5, Math.min(queueEnds[state], axis.width + 8) - from, 6);
  };
  for (const i of jobs.waiting) {
    if (filter.active && !filter.match[i]) continue;
    const x0 = axis.x(jobs.submitted[i]);
    if (x0 > axis.width) continue;
    const x1 = Math.max(x0 + MIN_BAR_PX, axis.x(jobs.stop(i, now)));
    if (x1 < 0) continue;
    const state = jobs.state[i];
    if (x0 <= queueEnds[state] + 1 && x0 >= queueStarts[state]) {
      if (x1 > queueEnds[state]) queueEnds[state] = x1;
      continue;
    }
    if (queueEnds[state] > -Infinity) line(state);
    queueStarts[state] = x0;
    queueEnds[state] = x1;
  }
  for (let state = 0; state < STATES.length; state += 1) if (queueEnds[state] > -Infinity) line(state);
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
