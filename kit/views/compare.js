// What differs between the job in the pane and another: values with their paths, pictures beside each other.

const CHANGE_SIGNS = { added: "+", removed: "−", changed: "~" };

class ComparePart {
  constructor(board, done) {
    this.board = board;
    this.done = done;
    this.element = make("div", "kit-compare");
    this.element.append(make("div", "kit-soft", "Looking for a job to compare with…"));
    this.ask(null);
  }

  async ask(other) {
    const part = await ask(this.board, { t: "compare", with: other });
    if (!part) return;
    this.element.replaceChildren();
    if (part.choices?.length) this.element.append(this.chooser(part));
    if (part.s) this.element.append(make("div", "kit-soft", part.s));
    if (!part.old) return;
    this.element.append(this.facts(part));
    this.element.append(...this.section("Output", part.output, part));
    if (part.same_input) this.element.append(make("div", "kit-soft", "Both were given the same input."));
    else if (part.input) this.element.append(...this.section("Input", part.input, part));
  }

  chooser(part) {
    const line = make("label", "kit-against");
    const select = make("select", "kit-choose");
    for (const choice of part.choices) {
      const option = make("option", "", choiceLabel(choice));
      option.value = choice.key;
      option.selected = choice.key === part.with;
      select.append(option);
    }
    if (!part.choices.some((choice) => choice.key === part.with)) {
      const option = make("option", "", `job ${part.old.id}, v${part.old.version}`);
      option.value = part.with;
      option.selected = true;
      select.append(option);
    }
    select.addEventListener("change", () => {
      select.disabled = true;
      this.ask(select.value);
    });
    line.append(make("span", "kit-soft", "Against"), select);
    return line;
  }

  facts({ old, new: mine }) {
    const row = make("div", "kit-compare-facts kit-soft");
    const parts = [`v${old.version} → v${mine.version}`];
    if (old.ms !== null && mine.ms !== null) parts.push(`${duration(old.ms)} → ${duration(mine.ms)}`);
    if (old.peak !== null && mine.peak !== null) parts.push(`peak ${memory(old.peak)} → ${memory(mine.peak)}`);
    row.append(parts.join("  ·  "));
    return row;
  }

  section(title, told, part) {
    const head = make("div", "kit-block-title", title);
    if (told.s) return [head, make("div", "kit-soft", told.s)];
    const sum = make("div", "kit-compare-sum");
    const n = told.added + told.removed + told.changed;
    const words = n ? ["changed", "added", "removed"].filter((kind) => told[kind]).map((kind) => `${count(told[kind])} ${kind}`) : ["No difference"];
    words.push(`${count(told.equal)} equal`);
    if (told.old_bytes !== told.new_bytes) words.push(`${bytes(told.old_bytes)} → ${bytes(told.new_bytes)}`);
    if (told.cut) words.push("not all was looked at");
    sum.append(make("span", n ? "" : "kit-same", words[0]), make("span", "kit-soft", `  ·  ${words.slice(1).join("  ·  ")}`));
    const list = make("div", "kit-changes");
    list.append(...told.changes.map((change) => this.change(change, told.what, part)));
    const left = n - told.changes.length;
    if (left > 0) list.append(make("div", "kit-soft", `and ${count(left)} more`));
    return [head, sum, list];
  }

  change({ path, kind, old, new: now, delta }, what, part) {
    const row = make("div", `kit-change kit-${kind}`);
    const sign = make("span", "kit-change-sign", CHANGE_SIGNS[kind]);
    sign.title = kind;
    const body = make("div", "kit-change-body");
    body.append(make("div", "kit-change-path kit-code", visible(path)));
    if (old?.t === "media" && now?.t === "media") body.append(this.pictures(old, now, what, part));
    else body.append(...sideLines(old, now, delta));
    row.append(sign, body);
    return row;
  }

  /** Two pictures, sounds or films: beside each other, or one over the other. */
  pictures(old, now, what, part) {
    const { board } = this;
    const before = mediaElement({ board, what, key: part.with }, { node: old, key: `v${part.old.version}` });
    const after = mediaElement({ board, what }, { node: now, key: `v${part.new.version}` });
    const pair = make("div", "kit-pair");
    pair.append(before, after);
    const both = [old, now].every((node) => !node.hidden && SHOWN_KINDS[node.mime] === "img");
    if (!both) return pair;
    const holder = make("div", "kit-pair-holder");
    const modes = make("span", "kit-modes");
    const swipe = this.swipe([old, now], what, part);
    swipe.hidden = true;
    const chips = ["Side by side", "Swipe"].map((text, k) => {
      const chip = button("kit-mode", text, () => {
        pair.hidden = k === 1;
        swipe.hidden = k === 0;
        chips.forEach((one, j) => one.setAttribute("aria-pressed", String(j === k)));
        if (k === 1) swipe.kitFill();
      });
      chip.setAttribute("aria-pressed", String(k === 0));
      return chip;
    });
    modes.append(...chips);
    holder.append(modes, pair, swipe);
    return holder;
  }

  swipe([old, now], what, part) {
    const box = make("div", "kit-swipe");
    const frame = make("div", "kit-swipe-frame");
    const range = make("input", "kit-swipe-range");
    range.type = "range";
    range.value = "50";
    range.setAttribute("aria-label", `How much of v${part.old.version} is shown`);
    box.append(frame, range, make("div", "kit-soft", `left v${part.old.version}, right v${part.new.version}`));
    box.kitFill = async () => {
      if (frame.firstChild) return;
      const urls = await Promise.all([mediaUrl({ board: this.board, what }, now), mediaUrl({ board: this.board, what, key: part.with }, old)]);
      if (frame.firstChild) return;
      const images = urls.map((url, k) => {
        const image = make("img", k ? "kit-swipe-over" : "");
        if (url.startsWith("blob:")) image.src = url;
        image.alt = k ? `v${part.old.version}` : `v${part.new.version}`;
        return image;
      });
      const line = make("div", "kit-swipe-line");
      const cut = () => {
        images[1].style.clipPath = `inset(0 ${100 - range.value}% 0 0)`;
        line.style.left = `${range.value}%`;
      };
      range.addEventListener("input", cut);
      cut();
      frame.append(...images, line);
    };
    return box;
  }
}

function choiceLabel(choice) {
  const parts = [`job ${choice.id}`, `v${choice.version}`, `${shortDuration(choice.ago)} ago`];
  if (choice.same) parts.push("same input");
  return parts.join(", ");
}

/** The two sides of a difference, one under the other; what is theirs alone is marked. */
function sideLines(old, now, delta) {
  const lines = [];
  const apart = Array.isArray(old) && Array.isArray(now);
  if (apart || (old !== null && now !== null && (isContainer(old) || isContainer(now) || sideText(old).length + sideText(now).length > 60))) {
    lines.push(sideLine("−", old, "kit-old"), sideLine("+", now, "kit-new"));
    return lines;
  }
  const line = make("div", "kit-code");
  if (old !== undefined && old !== null) line.append(make("span", "kit-old", sideText(old)));
  if (old !== null && now !== null && old !== undefined && now !== undefined) line.append(make("span", "kit-soft", "  →  "));
  if (now !== undefined && now !== null) line.append(make("span", "kit-new", sideText(now)));
  if (delta !== null && delta !== undefined && typeof old === "number") {
    const share = old !== 0 ? `, ${delta > 0 ? "+" : "−"}${shortNumber(Math.abs(Number(((delta / old) * 100).toPrecision(3))))} %` : "";
    line.append(make("span", "kit-soft", `   ${delta > 0 ? "+" : "−"}${shortNumber(Math.abs(Number(delta.toPrecision(6))))}${share}`));
  }
  return [line];
}

function sideLine(sign, side, className) {
  const line = make("div", `kit-code kit-side ${className}`);
  line.append(make("span", "kit-change-sign", sign));
  const text = make("span", "kit-side-text");
  if (Array.isArray(side)) text.append(visible(side[0]), make("mark", "kit-apart", visible(side[1])), visible(side[2]));
  else text.append(sideText(side));
  line.append(text);
  return line;
}

function sideText(node) {
  if (node === null || typeof node !== "object") return visible(JSON.stringify(node));
  if (isContainer(node)) {
    const value = wholeValue(node);
    const text = value === undefined ? sizeText(node) : JSON.stringify(value);
    return visible(text.length > 200 ? `${text.slice(0, 180)}…` : text);
  }
  if (node.t === "media") return node.hidden ?? mediaText(node);
  return node.t === "number" ? node.text : visible(`"${node.head}…${node.tail}" ${count(node.n)} characters`);
}
