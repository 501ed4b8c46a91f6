// Setup: model loads and other stretches with a name that are no jobs, in lanes above the slots.

const SPAN_LANE_PX = 22;
const SPAN_BAR_PX = 14;
const SPAN_LANES = 3; // more than that beside each other share the last one

/** Spans by key, with the lane each is drawn in. */
class SpanList {
  constructor() {
    this.all = [];
    this.lanes = 0;
    this.open = false;
    this.version = 0;
  }

  /** Take spans as codec.py writes them: [key, label, kind, from, to, detail]. */
  read(list) {
    this.version += 1;
    for (const [key, label, kind, from, to, detail] of list) {
      const span = { key, label, kind, from, to: to ?? NaN, detail, lane: 0 };
      const at = this.all.findIndex((one) => one.key === key);
      if (at >= 0) this.all[at] = span;
      else this.all.push(span);
    }
    this.all.sort((a, b) => a.from - b.from);
    const ends = [];
    for (const span of this.all) {
      const free = ends.findIndex((end) => end <= span.from);
      span.lane = Math.min(free >= 0 ? free : ends.length, SPAN_LANES - 1);
      ends[span.lane] = Math.max(ends[span.lane] ?? 0, Number.isNaN(span.to) ? Infinity : span.to);
    }
    this.lanes = ends.length;
    this.open = this.all.some((span) => Number.isNaN(span.to));
  }

  /** The span under a point of a lane, within a few pixels; null if there is none. */
  near(lane, axis, x, now) {
    let best = null;
    let distance = 5;
    for (const span of this.all) {
      if (span.lane !== lane) continue;
      const [x0, x1] = spanEdges(span, axis, now);
      const d = x < x0 ? x0 - x : x > x1 ? x - x1 : 0;
      if (d < distance) [best, distance] = [span, d];
    }
    return best;
  }

  at(time, now) {
    return this.all.filter((span) => span.from <= time && spanEnd(span, now) >= time);
  }
}

function spanEnd(span, now) {
  return Number.isNaN(span.to) ? now : span.to;
}

function spanEdges(span, axis, now) {
  const x0 = axis.x(span.from);
  return [x0, Math.max(x0 + MIN_BAR_PX, axis.x(spanEnd(span, now)))];
}

/** Draw all spans; their lanes begin at y. */
function drawSpans(g, spans, axis, y, now, look) {
  g.textAlign = "left";
  for (const span of spans.all) {
    const [x0, x1] = spanEdges(span, axis, now);
    if (x1 < -4 || x0 > axis.width + 4) continue;
    const top = y + span.lane * SPAN_LANE_PX + 4;
    const from = Math.max(x0, -6);
    const to = Math.min(x1, axis.width + 6);
    g.fillStyle = look.band;
    g.beginPath();
    barPath(g, from, top, to - from, SPAN_BAR_PX, 3);
    g.fill();
    g.fillStyle = look.spanPattern(g);
    g.fill();
    g.strokeStyle = look.span;
    g.lineWidth = 1;
    g.beginPath();
    barPath(g, from + 0.5, top + 0.5, Math.max(1, to - from - 1), SPAN_BAR_PX - 1, 3);
    g.stroke();
    drawSpanLabel(g, span, from, to, top, axis, spans, look, now);
  }
}

/** The label in the bar if it fits, else beside it if there is room, on a ground of its own. */
function drawSpanLabel(g, span, from, to, top, axis, spans, look, now) {
  const took = duration((spanEnd(span, now) - span.from) * 1000);
  const text = `${span.label}, ${took}`;
  const wide = g.measureText(text).width;
  const left = Math.max(from, 0);
  let x = left + 5;
  if (Math.min(to, axis.width) - left < wide + 10) {
    x = to + 5;
    if (x + wide + 4 > roomBeside(span, axis, spans, now)) return;
  } else {
    g.fillStyle = look.surface;
    g.globalAlpha = 0.82;
    g.fillRect(x - 3, top + 1.5, wide + 6, SPAN_BAR_PX - 3);
    g.globalAlpha = 1;
  }
  g.fillStyle = look.text;
  g.fillText(text, x, top + 11);
}

/** Where the room beside a bar ends: at the next bar, at folded time, or at the edge. */
function roomBeside(span, axis, spans, now) {
  const next = spans.all.find((other) => other.lane === span.lane && other.from > span.from);
  const k = axis.stretchAt(spanEnd(span, now));
  const fold = k >= 0 && k + 1 < axis.list.length ? axis.x(axis.list[k].to) + axis.breakPx / 3 : axis.width;
  return Math.min(next ? axis.x(next.from) : axis.width, fold, axis.width);
}

/** What the cursor's label says of a span. */
function describeSpan(span, now) {
  const open = Number.isNaN(span.to);
  const head = `${span.label}  ${duration((spanEnd(span, now) - span.from) * 1000)}`;
  return [head, `${span.kind}${open ? ", still running" : ""}, began ${preciseClock(span.from)}`, ...span.detail.split("\n")];
}
