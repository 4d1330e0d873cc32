// Horizontal bars as SVG: one panel for each case, a bar for each program, a tick at the minimum.

/**
 * @typedef {object} Bar
 * @property {string} label
 * @property {number} value
 * @property {number} [minimum]
 * @property {boolean} [ours]
 */

const width = 860;
const labelWidth = 270;
const barHeight = 16;
const barGap = 7;

/**
 * @param {{ title: string, unit: string, panels: readonly { title: string, bars: readonly Bar[] }[] }} chart
 * @returns {string} an SVG document
 */
export function barChart({ title, unit, panels }) {
  const parts = [];
  let y = 34;
  for (const panel of panels) {
    y += 26;
    parts.push(text(16, y, panel.title, 'panel'));
    y += 10;
    const longest = Math.max(...panel.bars.map(({ value }) => value));
    const scale = (width - labelWidth - 110) / longest;
    for (const bar of panel.bars) {
      const length = Math.max(bar.value * scale, 1);
      const middle = y + barHeight - 4;
      parts.push(
        text(labelWidth - 8, middle, bar.label, bar.ours === true ? 'label ours-label' : 'label'),
        `<rect x="${labelWidth}" y="${y}" width="${length.toFixed(1)}" height="${barHeight}" class="${bar.ours === true ? 'ours' : 'peer'}"/>`,
        text(labelWidth + length + 6, middle, `${figure(bar.value)} ${unit}`, 'value'),
      );
      if (bar.minimum !== undefined) {
        const x = (labelWidth + bar.minimum * scale).toFixed(1);
        parts.push(`<line x1="${x}" x2="${x}" y1="${y}" y2="${y + barHeight}" class="minimum"/>`);
      }
      y += barHeight + barGap;
    }
  }
  const height = y + 14;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escape(title)}</title>`,
    '<style>text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-size:16px;font-weight:600}.panel{font-weight:600}',
    '.label{text-anchor:end}.ours-label{font-weight:600}.value{font-variant-numeric:tabular-nums}',
    '.ours{fill:#1a7f64}.peer{fill:#a9b4c0}.minimum{stroke:#24292f;stroke-width:1.5}</style>',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    text(16, 26, title, 'title'),
    ...parts,
    '</svg>',
    '',
  ].join('\n');
}

/** @param {number} value three significant digits */
export function figure(value) {
  if (!Number.isFinite(value)) return '–';
  return value >= 100
    ? value.toFixed(0)
    : value >= 10
      ? value.toFixed(1)
      : value >= 1
        ? value.toFixed(2)
        : value.toFixed(3);
}

const text = (x, y, content, style) =>
  `<text x="${Number(x.toFixed(1))}" y="${y}" class="${style}">${escape(content)}</text>`;

const escape = (content) => content.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
