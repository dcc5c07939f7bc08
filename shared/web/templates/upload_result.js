"use strict";
// Shows what the check of a file found.
const MAX_ROWS = 10;

const format = (number) => number.toLocaleString("en");
const counted = (number, noun) => `${format(number)} ${noun}${number === 1 ? "" : "s"}`;

// Bytes as text, with three digits.
function sizeOf(bytes) {
  const units = ["bytes", "KB", "MB", "GB"];
  let power = 0;
  while (power < 3 && bytes >= 1000 * 1024 ** power) power++;
  return `${format(Number((bytes / 1024 ** power).toPrecision(3)))} ${units[power]}`;
}

function element(name, properties, ...children) {
  const created = Object.assign(document.createElement(name), properties);
  created.append(...children);
  return created;
}

function problemList(result) {
  return result.problems.length ? [problemGroups(result), problemTable(result.problems), problemRest(result)] : [];
}

function problemGroups({ problems, codes }) {
  const first = new Map();
  for (const problem of problems) if (!first.has(problem.code)) first.set(problem.code, problem);
  const items = [...first.values()].sort((a, b) => rank(a) - rank(b) || codes[b.code] - codes[a.code]);
  return element("ul", { className: "codes" }, ...items.map(({ code, severity, remedy }) =>
    element("li", {}, element("strong", {}, `${format(codes[code])} x ${code}`), ` (${severity}): ${remedy}`)));
}

const rank = ({ severity }) => ["error", "warning", "info"].indexOf(severity);

function problemTable(problems) {
  const heads = ["Line", "Device", "Property", "Problem", "Rule"];
  const head = element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)));
  const rows = [...problems].sort((a, b) => rank(a) - rank(b)).slice(0, MAX_ROWS).map((problem) => {
    const { line, id, field, message, code, severity } = problem;
    const cells = [line ?? "", id, field, message, `${code} ${severity}`];
    return element("tr", {}, ...cells.map((text, index) => {
      const cell = element("td", {}, String(text));
      if (heads[index] !== "Problem") cell.dataset.label = heads[index];
      return cell;
    }));
  });
  const created = element("table", { className: "stacked" }, element("thead", {}, head), element("tbody", {}, ...rows));
  created.setAttribute("aria-label", "Problems of the file");
  return created;
}

function problemRest({ problems, codes }) {
  const total = Object.values(codes).reduce((sum, count) => sum + count, 0);
  const shown = Math.min(problems.length, MAX_ROWS);
  return element("p", { className: "quiet" }, total > shown ? `First ${shown} of ${format(total)} problems.` : "");
}
