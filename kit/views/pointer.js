// Pointer, wheel and keys on the timeline, and the label that follows the cursor.

const CLICK_PX = 4; // a press that moves less is a click
const MEMORY_TEXTS = 4; // devices in the label

class Pointer {
  constructor(timeline) {
    this.timeline = timeline;
    this.press = null;
    const plot = timeline.plot;
    plot.addEventListener("pointermove", (event) => this.move(event));
    plot.addEventListener("pointerdown", (event) => this.down(event));
    plot.addEventListener("pointerup", (event) => this.up(event));
    plot.addEventListener("pointercancel", () => (this.press = null));
    plot.addEventListener("pointerleave", () => this.leave());
    plot.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    plot.addEventListener("focus", () => timeline.draw());
    plot.addEventListener("blur", () => timeline.draw());
    // on the window and before anybody else: JupyterLab's own single-key commands (f, l, enter) listen
    // on the document in the capture phase
    this.onKey = (event) => this.key(event);
    window.addEventListener("keydown", this.onKey, true);
  }

  close() {
    window.removeEventListener("keydown", this.onKey, true);
  }

  focused() {
    return document.activeElement === this.timeline.plot;
  }

  place(event) {
    const box = this.timeline.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left - GUTTER_PX, y: event.clientY - box.top };
  }

  /** The job under a point, -1 if there is none. */
  hit({ x, y }) {
    const t = this.timeline;
    if (!t.at || x < -4 || x > t.at.width + 8) return -1;
    const { jobs } = t.board;
    if (y >= t.at.lanesEnd && y < t.at.queueEnd) return this.hitQueue(x);
    const k = Math.floor((y - t.at.lanesTop) / t.at.lanePx);
    if (k < 0 || k >= t.at.shown) return -1;
    return jobNear(jobs, t.board.filter.lane(t.at.lanes[k + t.laneOffset]), t.axis, x, t.now);
  }

  hitQueue(x) {
    const t = this.timeline;
    const { jobs, filter } = t.board;
    for (const i of jobs.waiting) {
      if (filter.has(i) && x >= t.axis.x(jobs.submitted[i]) - 2 && x <= t.axis.x(jobs.stop(i, t.now)) + 4) return i;
    }
    return -1;
  }

  /** The span under a point, null if there is none. */
  hitSpan({ x, y }) {
    const t = this.timeline;
    if (!t.at || y < AXIS_PX || y >= t.at.lanesTop) return null;
    return t.board.spans.near(Math.floor((y - AXIS_PX) / SPAN_LANE_PX), t.axis, x, t.now);
  }

  move(event) {
    const t = this.timeline;
    if (!t.at) return;
    const at = this.place(event);
    if (this.press) {
      const { from, last } = this.press;
      if (!this.press.dragging && Math.hypot(at.x - from.x, at.y - from.y) > CLICK_PX) {
        this.press.dragging = true;
        t.plot.classList.add("kit-dragging");
      }
      if (this.press.dragging) {
        t.axis.pan(at.x - last.x);
        t.keepView();
        t.laneOffset = this.press.lane + Math.round((from.y - at.y) / t.at.lanePx);
        this.press.last = at;
        this.hideLabel();
      }
      return;
    }
    t.cursor = at;
    t.hovered = this.hit(at);
    t.plot.style.cursor = t.hovered >= 0 ? "pointer" : "";
    t.paintOver();
    this.showLabel(at);
  }

  down(event) {
    if (event.button !== 0 || !this.timeline.at) return;
    const at = this.place(event);
    this.press = { from: at, last: at, dragging: false, lane: this.timeline.laneOffset };
    this.timeline.plot.setPointerCapture(event.pointerId);
  }

  up(event) {
    const t = this.timeline;
    const press = this.press;
    this.press = null;
    t.plot.classList.remove("kit-dragging");
    if (!press || press.dragging) return;
    t.actions.select(this.hit(this.place(event)));
  }

  leave() {
    const t = this.timeline;
    t.cursor = null;
    t.hovered = -1;
    this.hideLabel();
    t.paintOver();
  }

  wheel(event) {
    const t = this.timeline;
    if (!t.axis) return;
    const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
    // the notebook scrolls as usual until this timeline was clicked
    if (!this.focused() && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    if (sideways) t.axis.pan(-event.deltaX * lines);
    else if (event.shiftKey) t.laneOffset += Math.sign(event.deltaY);
    else t.axis.zoom(Math.exp(Math.max(-0.4, Math.min(0.4, event.deltaY * lines * 0.002))), this.place(event).x);
    t.keepView();
    this.hideLabel();
  }

  key(event) {
    if (!this.focused() || event.ctrlKey || event.metaKey || event.altKey) return;
    const t = this.timeline;
    const does = {
      ArrowRight: () => this.step(1, 0),
      ArrowLeft: () => this.step(-1, 0),
      ArrowDown: () => this.step(0, 1),
      ArrowUp: () => this.step(0, -1),
      Home: () => this.end(0),
      End: () => this.end(1),
      Enter: () => t.actions.open(),
      Escape: () => t.actions.select(-1),
      "/": () => t.actions.find(),
      f: () => t.fit(),
      l: () => t.follow(true),
      "+": () => this.zoomBy(0.7),
      "=": () => this.zoomBy(0.7),
      "-": () => this.zoomBy(1.4),
    }[event.key];
    if (!does) {
      // letters are ours here: one beside f or l would cut or delete the cell
      if (event.key.length === 1) event.stopImmediatePropagation();
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    does();
  }

  /** Zoom about the selected job where it is in view, else about the middle. */
  zoomBy(factor) {
    const t = this.timeline;
    if (!t.axis) return;
    const { jobs, selected } = t.board;
    const x = selected >= 0 ? t.axis.x(jobs.started[selected]) : NaN;
    t.axis.zoom(factor, x >= 0 && x <= t.axis.width ? x : t.axis.width / 2);
    t.keepView();
  }

  /** Select the neighbour among those shown: along the lane, or the nearest in time in the next lane. */
  step(along, across) {
    const t = this.timeline;
    const { jobs, filter } = t.board;
    const from = t.board.selected;
    const lane = from >= 0 ? jobs.laneOf[from] : null;
    let next = -1;
    if (!lane) next = latestInLane(jobs, filter);
    else if (along) next = neighbour(jobs, filter.lane(lane), from, along);
    else {
      const lanes = jobs.laneList();
      for (let k = lanes.indexOf(lane) + across; next < 0 && k >= 0 && k < lanes.length; k += across) {
        next = nearestInTime(jobs, filter.lane(lanes[k]), jobs.started[from]);
      }
    }
    this.go(next);
  }

  end(last) {
    const { jobs, filter } = this.timeline.board;
    const lane = jobs.laneOf[this.timeline.board.selected] ?? jobs.laneList().find((one) => filter.lane(one).n);
    if (!lane) return;
    const order = filter.lane(lane);
    if (order.n) this.go(order.list[last ? order.n - 1 : 0]);
  }

  go(next) {
    if (next < 0) return;
    this.timeline.actions.select(next);
    this.timeline.reveal(next);
  }

  // -- the label --------------------------------------------------------------------------------

  hideLabel() {
    this.timeline.label.hidden = true;
  }

  showLabel(at) {
    const t = this.timeline;
    if (at.x < 0 || at.x > t.at.width) {
      this.hideLabel();
      return;
    }
    const [head, ...lines] = this.describe(at);
    const label = t.label;
    label.replaceChildren(make("div", "kit-label-head", head), ...lines.map((line) => make("div", "", line)));
    label.hidden = false;
    const box = label.getBoundingClientRect();
    const room = t.plot.clientWidth;
    const right = GUTTER_PX + at.x + 12;
    label.style.left = `${Math.round(right + box.width > room ? Math.max(0, right - box.width - 24) : right)}px`;
    label.style.top = `${Math.round(Math.max(0, Math.min(at.y + 14, t.at.height - box.height - 4)))}px`;
  }

  /** What the cursor is on: the job, its times, its neighbours, the memory at that instant. */
  describe(at) {
    const t = this.timeline;
    const { jobs } = t.board;
    const time = t.axis.time(at.x);
    const beside = runningAt(jobs, t.at.lanes, time, t.now);
    const now = memoryAt(t.at.rows, time);
    const i = t.hovered;
    const span = this.hitSpan(at);
    if (span) return [...describeSpan(span, t.now), ...now].filter(Boolean);
    if (i < 0) {
      const k = t.axis.stretchAt(time);
      const between = k < 0 || time > t.axis.list[k].to;
      const setup = t.board.spans.at(time, t.now).map((one) => one.label);
      const running = beside.length ? `${plural(beside.length, "job")} running` : setup.length ? setup.join(", ") : between ? "idle" : "no job running";
      const reason = at.y > t.at.memoryTop ? t.board.reason : "";
      return [preciseClock(time), running, ...now, reason].filter(Boolean);
    }
    const took = jobs.took(i, t.now);
    const state = stateWord(jobs.state[i]);
    const head = `job ${jobs.id(i)}${Number.isFinite(took) ? `  ${duration(took)}` : ""}`;
    const others = beside.filter((other) => other !== i).length;
    const waited = (jobs.laneOf[i] ? jobs.started[i] : jobs.stop(i, t.now)) - jobs.submitted[i];
    const lines = [
      `${state}, v${jobs.version[i]}${jobs.attempt[i] > 1 ? `, attempt ${jobs.attempt[i]}` : ""}`,
      `queued ${duration(waited * 1000)}, ${others ? `${others} beside it` : "alone"}`,
    ];
    if (t.board.panel) lines.unshift(t.board.names.handlers[jobs.handler[i]]);
    if (jobs.chunks[i]) lines.push(plural(jobs.chunks[i], "chunk"));
    if (jobs.progress.has(i)) lines.push(`progress ${Math.round(jobs.progress.get(i) * 100)} %`);
    lines.push(...now);
    if (Number.isFinite(jobs.peak[i])) lines.push(peakText(jobs, i));
    if (jobs.findings[i]) lines.push(plural(jobs.findings[i], "finding"));
    if (jobs.state[i] === RUNNING && jobs.flags[i] & FLAG.cancelAsked) lines.push("cancel asked, still running");
    if (jobs.flags[i] & FLAG.stuck) lines.push("its thread could not be stopped");
    return [head, ...lines];
  }
}

/** The latest shown job that has reached a slot, -1 if none has. */
function latestInLane(jobs, filter) {
  for (let i = jobs.n - 1; i >= 0; i -= 1) if (jobs.laneOf[i] && filter.has(i)) return i;
  return -1;
}

/** The job before or after one in a lane, which need not be in it itself; at the end it stays. */
function neighbour(jobs, order, from, along) {
  if (!order.n) return -1;
  const k = order.position(jobs, from);
  if (k >= 0) return order.list[Math.max(0, Math.min(k + along, order.n - 1))];
  const next = order.after(jobs, jobs.started[from]) + (along > 0 ? 0 : -1);
  return order.list[Math.max(0, Math.min(next, order.n - 1))];
}

function nearestInTime(jobs, order, time) {
  const k = order.after(jobs, time);
  const [before, after] = [k - 1, k].map((at) => (at >= 0 && at < order.n ? order.list[at] : -1));
  if (before < 0 || after < 0) return Math.max(before, after);
  return time - jobs.started[before] <= jobs.started[after] - time ? before : after;
}

/** What memory was at an instant, a line of text per device. */
function memoryAt(rows, time) {
  const texts = [];
  for (const row of rows) {
    const parts = [];
    for (const { line, role, name } of row.lines) {
      const used = usedAt(line, time);
      if (!Number.isFinite(used)) continue;
      if (row.device < 0) parts.push(rows.length > 1 ? memory(used) : `${row.label} ${memory(used)}`);
      else parts.push(role === "device" ? `${memory(used)} used` : `${name} ${memory(used)}`);
    }
    if (parts.length) texts.push(`${rows.length > 1 ? `${row.label}: ` : ""}${parts.join(", ")}`);
  }
  return texts.slice(0, MEMORY_TEXTS);
}

function peakText(jobs, i) {
  const flags = jobs.flags[i];
  const whose = flags & FLAG.own ? "its own" : "shared";
  return `peak ${memory(jobs.peak[i])}, ${whose}${flags & FLAG.exact ? "" : ", sampled"}`;
}

function stateWord(state) {
  return STATES[state].toLowerCase().replace("_", " ");
}

function preciseClock(time) {
  const ms = Math.floor((time - Math.floor(time)) * 1000);
  return `${clock(Math.floor(time))}.${String(ms).padStart(3, "0")}`;
}
