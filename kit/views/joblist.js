// The timeline for those who do not see it: a table of the newest jobs, and a voice that says what ended.
// It is out of sight until the keyboard reaches it; then it is shown, as a focused thing must be.

const LIST_ROWS = 30;
const LIST_EVERY_MS = 1000;
const SPEAK_EVERY_MS = 3000;

class JobList {
  /**
   * @param select called with the index of the job whose button was pressed
   * @param voice the live region that says what ended
   */
  constructor(board, select, voice) {
    this.board = board;
    this.select = select;
    this.voice = voice;
    this.element = make("section", "kit-joblist");
    this.element.setAttribute("aria-label", "Jobs as a table");
    const table = make("table");
    const head = make("tr");
    for (const name of ["Job", "Handler", "State", "Version", "Submitted", "Took", "Peak", "Findings"]) {
      const cell = make("th", "", name);
      cell.scope = "col";
      head.append(cell);
    }
    const top = make("thead");
    top.append(head);
    this.caption = make("caption");
    this.rows = make("tbody");
    table.append(this.caption, top, this.rows);
    this.element.append(table);
    this.ended = null; // counts by state when it was last spoken of
    this.lines = []; // rows of the table, used again
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.speaking);
  }

  draw() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.fill();
    }, LIST_EVERY_MS);
    this.speaking ??= setTimeout(() => {
      this.speaking = undefined;
      this.speak();
    }, SPEAK_EVERY_MS);
  }

  fill() {
    const { jobs, filter, names } = this.board;
    const now = this.board.now();
    let n = 0;
    for (let i = jobs.n - 1; i >= 0 && n < LIST_ROWS; i -= 1) {
      if (!filter.has(i)) continue;
      const took = jobs.took(i, now);
      this.line(n, i, [
        jobs.id(i), names.handlers[jobs.handler[i]] ?? "", stateWord(jobs.state[i]), `v${jobs.version[i]}`, clock(jobs.submitted[i]),
        Number.isFinite(took) ? duration(took) : "", Number.isFinite(jobs.peak[i]) ? memory(jobs.peak[i]) : "", String(jobs.findings[i]),
      ]);
      n += 1;
    }
    while (this.lines.length > n) this.lines.pop().row.remove();
    const some = filter.active ? `${count(filter.shown)} of ${plural(jobs.n, "job")}` : plural(jobs.n, "job");
    say(this.caption, `${n < (filter.active ? filter.shown : jobs.n) ? `The newest ${n} of ` : ""}${some}, newest first`);
  }

  /** Write one row; its cells stay, so a reader that stands in the table is not thrown out. */
  line(n, i, texts) {
    let line = this.lines[n];
    if (!line) {
      const row = make("tr");
      const pick = button("kit-joblist-pick", "", () => this.select(line.job));
      const cells = texts.map((_, k) => (k ? make("td") : make("th")));
      cells[0].scope = "row";
      cells[0].append(pick);
      row.append(...cells);
      line = { row, pick, cells, job: i };
      this.lines.push(line);
      this.rows.append(row);
    }
    line.job = i;
    say(line.pick, texts[0]);
    for (let k = 1; k < texts.length; k += 1) say(line.cells[k], texts[k]);
  }

  /** Say what has ended since the last time, in one sentence. */
  speak() {
    const { counts } = this.board.jobs;
    const before = this.ended;
    this.ended = counts.slice();
    if (!before) return; // what was there when the page opened is in the table
    const news = [];
    for (const [state, word] of SUMMARY_STATES) {
      const more = counts[state] - before[state];
      if (state >= COMPLETED && more > 0) news.push(`${count(more)} ${word}`);
    }
    if (news.length) say(this.voice, `Jobs ended: ${news.join(", ")}. ${plural(counts[RUNNING], "job")} running.`);
  }
}
