// The timeline: lanes above, memory below, one time axis. Two canvases: the picture, redrawn when
// data or view change, and the cursor over it, redrawn when the pointer moves.

const GUTTER_PX = 64;
const AXIS_PX = 28;
const LANE_NARROW_PX = 24;
const LANES_SHOWN = 12;
const EDIT_ROW_PX = 18;
const MEMORY_LABEL_PX = 22;
const FOOT_PX = 8;
const TAB_BODY_PX = 240; // as in style.css: what the pane is high at least

class Timeline {
  /**
   * @param board the page's data (board.js)
   * @param actions {select(index), open()}
   */
  constructor(board, actions) {
    this.board = board;
    this.actions = actions;
    this.view = null;
    this.following = true;
    this.laneOffset = 0;
    this.cursor = null; // {x, y} in the plot, null outside
    this.hovered = -1;
    this.frame = 0;
    this.timer = 0;
    this.seen = true;
    this.build();
  }

  build() {
    this.element = make("div", "kit-time");
    this.plot = make("div", "kit-plot");
    this.plot.tabIndex = 0;
    this.plot.setAttribute("role", "application");
    this.plot.setAttribute("aria-label", "Timeline of jobs. Arrow keys move between jobs, enter opens one, f fits, l follows live, escape clears.");
    this.canvas = make("canvas", "kit-canvas");
    this.over = make("canvas", "kit-canvas kit-over");
    this.label = make("div", "kit-label");
    this.label.hidden = true;
    this.plot.append(this.canvas, this.over, this.label);
    this.fitButton = button("kit-tool", "Fit", () => this.fit());
    this.fitButton.title = "Show everything (f)";
    this.liveButton = button("kit-tool", "Live", () => this.follow(!this.following));
    this.liveButton.title = "Follow what runs now (l)";
    this.hint = make("span", "kit-hint");
    this.tools = make("div", "kit-tools");
    this.tools.append(this.hint, this.fitButton, this.liveButton);
    this.element.append(this.plot, this.tools);
    this.pointer = new Pointer(this);
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.plot);
    this.sight = new IntersectionObserver((entries) => {
      this.seen = entries[entries.length - 1].isIntersecting;
      if (this.seen) this.draw();
    });
    this.sight.observe(this.plot);
  }

  close() {
    this.resize.disconnect();
    this.sight.disconnect();
    this.pointer.close();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.timer);
    this.closed = true;
  }

  /** Redraw with the next frame. */
  draw() {
    if (this.frame || this.closed) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  fit() {
    this.following = false;
    this.view = null;
    this.draw();
  }

  follow(on) {
    this.following = on;
    this.draw();
  }

  // -- layout -----------------------------------------------------------------------------------

  measure(list) {
    const { jobs, samples } = this.board;
    const width = this.plot.clientWidth - GUTTER_PX - 8;
    const lanes = jobs.laneList();
    const lanePx = lanes.length > 6 ? LANE_NARROW_PX : LANE_PX;
    const shown = Math.min(lanes.length, LANES_SHOWN);
    this.laneOffset = Math.max(0, Math.min(this.laneOffset, lanes.length - shown));
    const lanesTop = AXIS_PX + this.board.spans.lanes * SPAN_LANE_PX;
    const lanesEnd = lanesTop + shown * lanePx;
    const queueEnd = lanesEnd + (jobs.waiting.size ? QUEUE_LANE_PX : 0);
    const edits = this.board.versions.length > 0;
    const memoryTop = queueEnd + (edits ? EDIT_ROW_PX : 6);
    const rows = memoryRows(samples, this.board.reason, list);
    const free = this.room() - memoryTop - rows.length * 4 - FOOT_PX;
    const memoryPx = memoryHeight(rows, free);
    const height = memoryTop + memoryPx + rows.length * 4 + FOOT_PX;
    return { width, lanes, lanePx, shown, lanesTop, lanesEnd, queueEnd, memoryTop, memoryPx, rows, height };
  }

  /** Height there is beside the job pane without making the card taller; 0 if the pane is below. */
  room() {
    const pane = this.element.nextElementSibling;
    if (!pane || pane.hidden || pane.offsetTop > this.element.offsetTop + 8) return 0;
    const body = pane.lastElementChild;
    return body.offsetTop - pane.offsetTop + TAB_BODY_PX + 12 - this.tools.offsetHeight - 4;
  }

  prepare() {
    const { board } = this;
    const now = board.now();
    if ((!board.jobs.n && !board.spans.lanes) || this.element.hidden) return null;
    const list = stretches(board.jobs, now, board.spans.all);
    const at = this.measure(list);
    if (at.width < 40) return null;
    if (this.following) this.view = liveView(list, at.width, board.jobs.live.size > 0 || board.spans.open);
    else if (!this.view) this.view = fitView(list, at.width);
    this.axis = new TimeAxis(list, at.width, this.view);
    this.at = at;
    this.now = now;
    return at;
  }

  surface(canvas, height) {
    const ratio = window.devicePixelRatio || 1;
    const width = this.plot.clientWidth;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (canvas.width !== w || canvas.height !== h) {
      canvas.width = w;
      canvas.height = h;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const g = canvas.getContext("2d");
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, width, height);
    return g;
  }

  // -- the picture ------------------------------------------------------------------------------

  paint() {
    if (this.closed || !this.seen) return;
    const at = this.prepare();
    if (!at) return;
    const { axis, now } = this;
    const { look, jobs } = this.board;
    this.plot.style.height = `${at.height}px`;
    const g = this.surface(this.canvas, at.height);
    const small = `11px ${look.font}`;
    g.font = small;
    g.textBaseline = "alphabetic";
    const marks = axisMarks(axis, (text) => g.measureText(text).width);
    this.drawGutter(g, at, look);
    g.save();
    g.beginPath();
    g.rect(GUTTER_PX - 4, 0, at.width + 8, at.height);
    g.clip();
    g.translate(GUTTER_PX, 0);
    this.drawGrid(g, at, marks, look);
    for (let k = 0; k < at.shown; k += 1) {
      const lane = at.lanes[k + this.laneOffset];
      drawLane(g, jobs, lane, axis, at.lanesTop + k * at.lanePx, now, look);
    }
    drawSpans(g, this.board.spans, axis, AXIS_PX, now, look);
    if (jobs.waiting.size) drawQueueLane(g, jobs, axis, at.lanesEnd, now, look);
    this.eachMemoryRow(at, (row, y0, y1) => drawMemoryRow(g, row, axis, y0, y1, look));
    this.drawFolds(g, at, look); // over the lines: what is squeezed in there has no scale
    this.drawEdits(g, at, look);
    g.restore();
    this.drawMemoryLabels(g, at, look);
    this.liveButton.setAttribute("aria-pressed", String(this.following));
    say(this.hint, this.hintText(at));
    this.paintOver();
    this.again();
  }

  /** While something runs the right edge moves: with each frame, or twice a second if asked to be calm. */
  again() {
    if (!(this.board.jobs.live.size || this.board.spans.open) || !this.board.alive) return;
    if (!calm()) {
      this.draw();
      return;
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.draw(), 500);
  }

  hintText(at) {
    const more = at.lanes.length - at.shown;
    if (more > 0) {
      const from = this.laneOffset + 1;
      return `slots ${from} to ${from + at.shown - 1} of ${at.lanes.length}: drag up or down for the others`;
    }
    return this.pointer.focused() ? "wheel zooms, drag pans, f fits, l follows" : "click to use wheel and keys";
  }

  drawGutter(g, at, look) {
    g.fillStyle = look.textSoft;
    g.textAlign = "right";
    const sessions = new Set(at.lanes.map((lane) => lane.session)).size > 1;
    for (let k = 0; k < at.shown; k += 1) {
      const lane = at.lanes[k + this.laneOffset];
      const name = sessions ? `${this.board.names.sessions[lane.session].slice(0, 5)} · ${lane.slot + 1}` : `slot ${lane.slot + 1}`;
      g.fillText(name, GUTTER_PX - 10, at.lanesTop + k * at.lanePx + BAR_TOP + 12);
    }
    if (this.board.spans.lanes) g.fillText("setup", GUTTER_PX - 10, AXIS_PX + 15);
    if (this.board.jobs.waiting.size) g.fillText("queue", GUTTER_PX - 10, at.lanesEnd + 12);
  }

  drawGrid(g, at, marks, look) {
    const bottom = at.height - FOOT_PX;
    g.strokeStyle = look.line;
    g.lineWidth = 1;
    g.beginPath();
    for (const mark of marks) {
      if (!mark.grid) continue;
      g.moveTo(Math.round(mark.x) + 0.5, AXIS_PX - 4);
      g.lineTo(Math.round(mark.x) + 0.5, bottom);
    }
    for (let k = 1; k <= at.shown; k += 1) {
      const y = at.lanesTop + k * at.lanePx - 0.5;
      g.moveTo(0, y);
      g.lineTo(at.width, y);
    }
    g.stroke();
    for (const mark of marks) {
      if (!mark.label) continue;
      g.fillStyle = mark.strong ? look.text : look.textSoft;
      const start = mark.strong || mark.x < 12;
      g.textAlign = start ? "left" : "center";
      g.fillText(mark.label, start ? Math.max(0, mark.x) : mark.x, AXIS_PX - 12);
    }
  }

  /** Where idle time is folded: a band without a grid, and how long it was. */
  drawFolds(g, at, look) {
    const parts = this.axis.visible();
    const list = this.axis.list;
    g.textAlign = "center";
    for (const { k, x1 } of parts) {
      const next = list[k + 1];
      if (!next) break;
      const px = this.axis.breakPx;
      const third = px / 3;
      g.fillStyle = look.fold;
      g.fillRect(x1 + third, AXIS_PX - 4, Math.max(2, third), at.height - FOOT_PX - AXIS_PX + 4);
      if (third < 11) continue;
      // along the band: beside the marks of the axis it would read like one of them
      g.save();
      g.translate(x1 + px / 2 + 4, at.height - FOOT_PX - 8);
      g.rotate(-Math.PI / 2);
      g.textAlign = "left";
      g.fillStyle = look.textSoft;
      g.fillText(`${shortDuration(next.from - list[k].to)} idle`, 0, 0);
      g.restore();
    }
  }

  /** A dotted line for each edit of a handler, with its versions below the lanes. */
  drawEdits(g, at, look) {
    g.textAlign = "left";
    let free = -Infinity;
    for (const edit of this.board.versions) {
      const x = this.axis.x(edit.time);
      if (x < -60 || x > at.width + 4) continue;
      g.strokeStyle = look.textSoft;
      g.lineWidth = 1.25;
      g.setLineDash([1.5, 3]);
      g.beginPath();
      g.moveTo(Math.round(x) + 0.5, AXIS_PX - 4);
      g.lineTo(Math.round(x) + 0.5, at.height - FOOT_PX);
      g.stroke();
      g.setLineDash([]);
      const name = this.board.panel ? `${edit.handler} ` : "";
      const text = `${name}v${edit.version - 1} to v${edit.version}`;
      const wide = g.measureText(text).width;
      const from = x + 5 + wide > at.width ? x - 5 - wide : x + 5;
      if (from < free) continue;
      g.fillStyle = look.textSoft;
      g.fillText(text, from, at.queueEnd + 13);
      free = from + wide + 8;
    }
  }

  // -- memory -----------------------------------------------------------------------------------

  eachMemoryRow(at, visit) {
    const each = at.memoryPx / Math.max(1, at.rows.length);
    at.rows.forEach((row, k) => {
      const top = at.memoryTop + k * (each + 4);
      visit(row, top + MEMORY_LABEL_PX, top + each, k === 0);
    });
  }

  drawMemoryLabels(g, at, look) {
    this.eachMemoryRow(at, (row, y0, y1, first) => {
      g.textAlign = "right";
      g.fillStyle = look.textSoft;
      const marks = rowMarks(row, y1 - y0);
      let above = Infinity;
      for (const mib of marks) {
        const y = y1 - ((mib - row.low) / (row.high - row.low)) * (y1 - y0);
        if (above - y < 14) continue;
        g.fillText(markText(mib), GUTTER_PX - 10, Math.min(y + 4, y1 + 3));
        above = y;
      }
      drawMemoryLegend(g, row, GUTTER_PX + 4, y0 - 8, this.plot.clientWidth - 8, look, first);
    });
  }

  // -- the cursor -------------------------------------------------------------------------------

  paintOver() {
    const { at, axis } = this;
    if (!at) return;
    const { look, jobs } = this.board;
    const g = this.surface(this.over, at.height);
    g.save();
    g.beginPath();
    g.rect(GUTTER_PX - 6, 0, at.width + 14, at.height);
    g.clip();
    g.translate(GUTTER_PX, 0);
    for (const [i, strong] of [[this.hovered, false], [this.board.selected, true]]) {
      const y = i >= 0 && i < jobs.n ? this.laneTop(i) : null;
      if (y !== null) drawOutline(g, jobs, i, axis, y, this.now, look, strong);
    }
    if (this.cursor && this.cursor.x >= 0) {
      g.strokeStyle = look.textSoft;
      g.lineWidth = 1;
      g.beginPath();
      g.moveTo(Math.round(this.cursor.x) + 0.5, AXIS_PX - 4);
      g.lineTo(Math.round(this.cursor.x) + 0.5, at.height - FOOT_PX);
      g.stroke();
      this.eachMemoryRow(at, (row, y0, y1) => {
        for (const { line, role } of row.lines) {
          const used = usedAt(line, axis.time(this.cursor.x));
          if (!Number.isFinite(used)) continue;
          g.fillStyle = role === "device" ? look.memory : look.torch;
          g.beginPath();
          g.arc(this.cursor.x, y1 - ((used - row.low) / (row.high - row.low)) * (y1 - y0), 3, 0, 7);
          g.fill();
        }
      });
    }
    g.restore();
  }

  /** Top of the lane a job is in, null if it is not drawn. */
  laneTop(i) {
    const lane = this.board.jobs.laneOf[i];
    const k = lane ? this.at.lanes.indexOf(lane) - this.laneOffset : -1;
    return k >= 0 && k < this.at.shown ? this.at.lanesTop + k * this.at.lanePx : null;
  }

  /** Bring a job into view. */
  reveal(i) {
    if (!this.at || !this.axis) return;
    const { jobs } = this.board;
    const k = this.at.lanes.indexOf(jobs.laneOf[i]);
    if (k >= 0 && k < this.laneOffset) this.laneOffset = k;
    if (k >= this.laneOffset + this.at.shown) this.laneOffset = k - this.at.shown + 1;
    const start = jobs.laneOf[i] ? jobs.started[i] : jobs.submitted[i];
    const x = this.axis.x(start);
    if (x < 0 || x > this.at.width - 8) {
      this.following = false;
      this.axis.pan(this.at.width / 3 - x);
      this.view = this.axis.view();
    }
    this.draw();
  }
}
