// One time axis for lanes and memory. Stretches in which no job waited or ran are folded to a narrow
// break, so that runs minutes apart stand side by side; within a stretch the scale is the same
// everywhere. "Folded" seconds are seconds with those stretches taken out.

const IDLE_FOLD_S = 1; // an idle stretch longer than this is folded
const BREAK_PX = 40; // its width, while few are in view
const BREAK_SHARE = 0.35; // of the width, at most, for all breaks in view
const MARGIN_PX = 12;
const RECENT_S = 120; // what "live" shows at most, in folded seconds
const RECENT_STRETCHES = 8;
const CROWD = 3; // and a stretch before the newer ones takes at most so many times their length,
const CROWD_S = 10; // or these seconds: after a long model load the jobs would be slivers
const MIN_SPAN_S = 2e-4;

/** Stretches in which something waited or ran: [{from, to}] in order; an open one ends now. */
function stretches(jobs, now, spans = NO_SPANS) {
  const ended = jobs.busyTimes();
  const open = jobs.live.size > 0 || spans.open;
  if (!open && !spans.all.length) return ended.copy();
  let kept = jobs.stretches;
  if (!kept || kept.jobs !== jobs.revision || kept.spans !== spans.version) {
    const all = new BusyTimes();
    all.list = ended.list.map(({ from, to }) => ({ from, to })); // the last one grows
    let first = Infinity; // what is open ends now, so all of it is one stretch
    for (const i of jobs.live) first = Math.min(first, jobs.submitted[i]);
    for (const span of spans.all) {
      if (Number.isNaN(span.to)) first = Math.min(first, span.from);
      else all.add(span.from, Math.max(span.from + 1e-4, span.to));
    }
    if (open) all.add(first, Math.max(first + 1e-4, now));
    kept = { jobs: jobs.revision, spans: spans.version, list: all.list };
    jobs.stretches = kept;
  }
  const last = kept.list[kept.list.length - 1];
  if (open && now > last.to) last.to = now;
  return kept.list;
}

const NO_SPANS = { all: [], open: false, version: 0 };

/** Maps time to pixels for one set of stretches, one width and one view {from, span}. */
class TimeAxis {
  /**
   * @param list stretches, at least one
   * @param width pixels
   * @param view {from: time at the left edge, span: seconds across, breaks included}
   */
  constructor(list, width, view) {
    this.list = list;
    this.width = Math.max(1, width);
    this.hint = 0; // where the last look was: the next one is mostly there too
    list.starts ??= startsOf(list);
    this.starts = list.starts;
    const last = list[list.length - 1]; // the only one that grows while the list stays
    this.total = this.starts[list.length - 1] + last.to - last.from;
    this.setSpan(view.span);
    this.left = this.toV(view.from);
  }

  setSpan(span) {
    this.span = Math.max(MIN_SPAN_S, span);
    this.scale = this.width / this.span; // pixels per second
    const breaks = this.list.length - 1;
    // how many breaks a view of this span holds on average: depends on zoom, not on where we stand
    const inView = breaks * Math.min(1, this.span / Math.max(this.total, 1e-9));
    this.breakPx = Math.min(BREAK_PX, (BREAK_SHARE * this.width) / Math.max(1, inView));
    this.breakV = this.breakPx / this.scale;
  }

  /** Position of a time in folded seconds, breaks included. */
  toV(time) {
    const k = this.stretchAt(time);
    if (k < 0) return time - this.list[0].from;
    const one = this.list[k];
    const base = this.starts[k] + k * this.breakV;
    if (time <= one.to) return base + time - one.from;
    const next = this.list[k + 1];
    if (!next) return base + time - one.from;
    // a third of the break carries on at scale after the stretch, a third leads into the next
    const edge = this.breakV / 3;
    const gap = next.from - one.to;
    const length = one.to - one.from;
    const after = time - one.to;
    if (gap <= this.breakV) return base + length + (after / gap) * this.breakV;
    if (after <= edge) return base + length + after;
    if (gap - after <= edge) return base + length + this.breakV - (gap - after);
    return base + length + edge + ((after - edge) / (gap - 2 * edge)) * edge;
  }

  fromV(v) {
    if (v <= 0) return this.list[0].from + v;
    let low = 0;
    let high = this.list.length;
    while (high - low > 1) {
      const mid = (low + high) >> 1;
      if (this.starts[mid] + mid * this.breakV <= v) low = mid;
      else high = mid;
    }
    const one = this.list[low];
    const inside = v - this.starts[low] - low * this.breakV;
    const length = one.to - one.from;
    const next = this.list[low + 1];
    if (inside <= length || !next) return one.from + inside;
    const edge = this.breakV / 3;
    const gap = next.from - one.to;
    const after = inside - length;
    if (gap <= this.breakV) return one.to + (after / this.breakV) * gap;
    if (after <= edge) return one.to + after;
    if (this.breakV - after <= edge) return next.from - (this.breakV - after);
    return one.to + edge + ((after - edge) / edge) * (gap - 2 * edge);
  }

  /** Index of the last stretch that begins at or before a time, -1 if none does. */
  stretchAt(time) {
    const { list, hint } = this;
    if (list[hint].from <= time && (hint + 1 === list.length || list[hint + 1].from > time)) return hint;
    let low = -1;
    let high = list.length;
    while (high - low > 1) {
      const mid = (low + high) >> 1;
      if (list[mid].from <= time) low = mid;
      else high = mid;
    }
    this.hint = Math.max(0, low);
    return low;
  }

  x(time) {
    return (this.toV(time) - this.left) * this.scale;
  }

  time(x) {
    return this.fromV(this.left + x / this.scale);
  }

  view() {
    return { from: this.fromV(this.left), span: this.span };
  }

  pan(dx) {
    this.left = clampLeft(this.left - dx / this.scale, this);
  }

  zoom(factor, x) {
    const anchor = this.time(x);
    this.setSpan(Math.min(this.span * factor, this.fitSpan() * 1.5));
    this.left = clampLeft(this.toV(anchor) - x / this.scale, this);
  }

  fitSpan() {
    const room = Math.max(1, this.width - 2 * MARGIN_PX);
    const breaks = this.list.length - 1;
    const breakPx = Math.min(BREAK_PX, (BREAK_SHARE * room) / Math.max(1, breaks));
    return (this.total / (room - breaks * breakPx)) * this.width;
  }

  /** Stretches that reach into view: [{k, x0, x1, from}]. */
  visible() {
    const first = Math.max(0, this.stretchAt(this.time(0)));
    const seen = [];
    for (let k = first; k < this.list.length; k += 1) {
      const x0 = this.x(this.list[k].from);
      if (x0 > this.width) break;
      seen.push({ k, x0, x1: this.x(this.list[k].to), from: this.list[k].from });
    }
    return seen;
  }
}

/** Folded seconds before each stretch. */
function startsOf(list) {
  const starts = new Float64Array(list.length);
  for (let k = 1; k < list.length; k += 1) starts[k] = starts[k - 1] + list[k - 1].to - list[k - 1].from;
  return starts;
}

function clampLeft(left, axis) {
  const end = axis.total + (axis.list.length - 1) * axis.breakV;
  return Math.min(Math.max(left, -axis.span * 0.8), end - axis.span * 0.2);
}

/** The view that shows everything. */
function fitView(list, width, running = false) {
  const axis = new TimeAxis(list, width, { from: list[0].from, span: 1 });
  // while something runs it grows in steps: a picture that shrinks with each frame cannot be read
  axis.setSpan(running ? steady(axis.fitSpan()) : axis.fitSpan());
  axis.left = -MARGIN_PX / axis.scale;
  return axis.view();
}

/** Seconds across a view that shows the folded time from one moment to another, with its margins. */
function spanBetween(axis, from, to) {
  for (let round = 0; round < 4; round += 1) {
    const breaks = axis.stretchAt(to) - axis.stretchAt(from);
    const length = axis.toV(to) - axis.toV(from) - breaks * axis.breakV;
    const room = axis.width - 2 * MARGIN_PX - breaks * axis.breakPx;
    axis.setSpan((length / Math.max(room, axis.width * 0.2)) * axis.width);
  }
  return axis.span;
}

/**
 * The view that follows: the last few stretches, up to now; the first of them cut where it would
 * crowd out the newer ones. While a job runs its span grows in steps, so that the bar moves and not
 * the axis.
 */
function liveView(list, width, running) {
  let seconds = 0;
  let from = 0;
  for (let k = list.length - 1; k >= 0 && list.length - k <= RECENT_STRETCHES; k -= 1) {
    const length = list[k].to - list[k].from;
    const crowded = seconds ? Math.max(CROWD_S, CROWD * seconds) : Infinity;
    const shown = Math.min(length, crowded, RECENT_S - seconds);
    from = list[k].to - shown;
    seconds += shown;
    if (shown < length || seconds >= RECENT_S) break;
  }
  const axis = new TimeAxis(list, width, { from, span: Math.max(seconds, MIN_SPAN_S) });
  let span = spanBetween(axis, from, list[list.length - 1].to);
  if (running) span = Math.max(1, steady(span));
  axis.setSpan(span);
  axis.left = axis.toV(from) - MARGIN_PX / axis.scale;
  return axis.view();
}

/** Steps of a growing axis, about a quarter apart. */
function steady(x) {
  const power = 10 ** Math.floor(Math.log10(x));
  for (const m of [1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8, 10]) if (m * power >= x) return m * power;
  return 10 * power;
}

/**
 * Marks of the axis: [{x, label, strong, grid}]. Each stretch counts from its own beginning; where
 * there are several, that beginning carries the clock time.
 */
function axisMarks(axis, measure) {
  const step = timeStep(72 / axis.scale);
  const marks = [];
  const several = axis.list.length > 1;
  let free = -Infinity; // x up to which labels are taken
  for (const part of axis.visible()) {
    const label = several ? clock(part.from) : "0";
    const wide = measure(label);
    const first = { x: part.x0, label: "", strong: several, grid: true };
    if (part.x0 >= -2 && part.x0 >= free && part.x0 + wide <= axis.width && (part.x1 - part.x0 > wide || axis.breakPx + part.x1 - part.x0 > wide + 8)) {
      first.label = label;
      free = part.x0 + wide + 12;
    }
    if (part.x0 >= -2) marks.push(first);
    const length = axis.list[part.k].to - part.from;
    const last = part.k === axis.list.length - 1 ? (axis.width - part.x0) / axis.scale : length;
    const begin = Math.max(1, Math.ceil((axis.time(0) - part.from) / step));
    for (let n = begin; n * step <= last; n += 1) {
      const x = part.x0 + n * step * axis.scale;
      if (x > axis.width) break;
      const text = tickLabel(n * step, step);
      const half = measure(text) / 2;
      const fits = x - half > free && x + half < axis.width;
      if (fits) free = x + half + 12;
      marks.push({ x, label: fits ? text : "", strong: false, grid: true });
    }
  }
  return marks;
}
