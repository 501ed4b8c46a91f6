// The legend: every sign of the timeline beside its meaning, drawn by the functions that draw the
// timeline itself, so that the two cannot differ.

const SIGN_W = 34;
const SIGN_H = 26;

/** One job as columns, for a sign: from 4 to 30 px. */
function signJob(values = {}) {
  const jobs = new JobColumns();
  const state = values.state ?? COMPLETED;
  jobs.n = 1;
  jobs.state[0] = state;
  jobs.submitted[0] = values.submitted ?? 4;
  jobs.started[0] = values.started ?? 4;
  jobs.ended[0] = state === RUNNING ? NaN : 30;
  jobs.flags[0] = values.flags ?? 0;
  jobs.findings[0] = values.findings ?? 0;
  if (values.ticks) jobs.ticks.set(0, values.ticks.map((x) => (x - 4) * 1000));
  if (values.share) jobs.progress.set(0, values.share);
  const lane = new LaneOrder(0, 0);
  lane.insert(jobs, 0);
  return { jobs, lane };
}

const SIGN_AXIS = { width: SIGN_W, x: (time) => time, time: (x) => x, scale: 1, list: [], stretchAt: () => -1 };

function signLane(values) {
  const { jobs, lane } = signJob(values);
  return (g, look) => drawLane(g, jobs, lane, SIGN_AXIS, 0, 30, look);
}

function signLine(y0, y1, role) {
  return (g, look) => {
    g.strokeStyle = role === "device" ? look.memory : look.torch;
    g.lineWidth = 1.5;
    if (role === "reserved") g.setLineDash([2, 2]);
    g.beginPath();
    g.moveTo(2, y0);
    g.lineTo(14, y0);
    g.lineTo(18, y1);
    g.lineTo(32, y1);
    g.stroke();
    g.setLineDash([]);
  };
}

function signSpan(g, look) {
  const spans = new SpanList();
  spans.read([["", "", "", 3, 31, ""]]);
  drawSpans(g, spans, SIGN_AXIS, 2, 31, { ...look, text: "transparent", surface: "transparent" });
}

function signEdit(g, look) {
  g.strokeStyle = look.textSoft;
  g.lineWidth = 1.25;
  g.setLineDash([1.5, 3]);
  g.beginPath();
  g.moveTo(17.5, 1);
  g.lineTo(17.5, 25);
  g.stroke();
  g.setLineDash([]);
}

function signFold(g, look) {
  g.fillStyle = look.fold;
  g.fillRect(11, 0, 12, SIGN_H);
}

/** [what it is, how it is drawn, whether it occurs in a view] */
const SIGNS = [
  ["a completed run", signLane({}), (b) => b.jobs.counts[COMPLETED]],
  ["running now; the line is its progress", signLane({ state: RUNNING, share: 0.6 }), (b) => b.jobs.counts[RUNNING]],
  ["asked to cancel, still running", signLane({ state: RUNNING, flags: FLAG.cancelAsked }), (b) => [...b.jobs.live].some((i) => b.jobs.flags[i] & FLAG.cancelAsked)],
  ["failed", signLane({ state: FAILED }), (b) => b.jobs.counts[FAILED]],
  ["timed out", signLane({ state: TIMED_OUT }), (b) => b.jobs.counts[TIMED_OUT]],
  ["cancelled", signLane({ state: CANCELLED }), (b) => b.jobs.counts[CANCELLED]],
  ["lost: nobody knows its end", signLane({ state: LOST }), (b) => b.jobs.counts[LOST]],
  ["its wait in the queue", signLane({ started: 20 }), (b) => b.jobs.n],
  ["ticks: chunks of a stream", signLane({ ticks: [8, 11, 14, 18, 21, 25] }), (b) => b.jobs.ticks.size],
  ["dot: a finding", signLane({ findings: 1 }), (b) => b.jobs.findings.subarray(0, b.jobs.n).some((n) => n > 0)],
  ["setup: a model load or the like", signSpan, (b) => b.spans.lanes],
  ["dotted: the handler was edited", signEdit, (b) => b.versions.length],
  ["idle time, folded", signFold, (b) => b.jobs.busyTimes().list.length > 1],
  ["device memory in use, or RSS", signLine(18, 8, "device"), (b) => b.samples.lines.size],
  ["torch: allocated", signLine(20, 12, "torch"), (b) => b.samples.has("torch_allocated")],
  ["torch: reserved", signLine(18, 6, "reserved"), (b) => b.samples.has("torch_reserved")],
];

class Legend {
  constructor(board) {
    this.board = board;
    this.element = make("ul", "kit-legend");
    this.element.setAttribute("aria-label", "Legend");
    this.element.hidden = true;
    this.toggle = button("kit-tool", "Legend", () => {
      this.element.hidden = !this.element.hidden;
      this.draw();
    });
    this.toggle.title = "What the signs mean";
    this.toggle.setAttribute("aria-expanded", "false");
    this.items = SIGNS.map(([text, sign, occurs]) => {
      const item = make("li");
      const canvas = make("canvas", "kit-legend-sign");
      canvas.setAttribute("aria-hidden", "true");
      item.append(canvas, make("span", "", text));
      this.element.append(item);
      return { item, canvas, sign, occurs };
    });
  }

  /** Signs that occur in this view, in its colours. */
  draw() {
    const { board } = this;
    this.toggle.setAttribute("aria-expanded", String(!this.element.hidden));
    this.toggle.setAttribute("aria-pressed", String(!this.element.hidden));
    if (this.element.hidden || !board.look) return;
    const ratio = window.devicePixelRatio || 1;
    for (const { item, canvas, sign, occurs } of this.items) {
      item.hidden = !occurs(board);
      if (item.hidden || canvas.drawnWith === board.look) continue;
      canvas.drawnWith = board.look;
      canvas.width = Math.round(SIGN_W * ratio);
      canvas.height = Math.round(SIGN_H * ratio);
      const g = canvas.getContext("2d");
      g.scale(ratio, ratio);
      sign(g, board.look);
    }
  }
}
