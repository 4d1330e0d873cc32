// Ends a vitest run with what was skipped, by the title that gives the reason, and one line of counts.

/** A vitest reporter; list it after the one that prints the results. */
export class SummaryReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const skipped = new Map();
    for (const module of modules) {
      counts.failed += module.errors().length;
      for (const test of module.children.allTests()) {
        const { state, note } = test.result();
        if (state === 'passed') counts.passed += 1;
        else if (state === 'failed') counts.failed += 1;
        else {
          counts.skipped += 1;
          const reason = note === undefined ? '' : ` (${note})`;
          const line = `${module.relativeModuleId}: ${titleOfSkipped(test)}${reason}`;
          skipped.set(line, (skipped.get(line) ?? 0) + 1);
        }
      }
      for (const suite of module.children.allSuites()) counts.failed += suite.errors().length;
    }
    for (const [line, count] of skipped) process.stdout.write(`skipped ${count} of ${line}\n`);
    process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`);
  }
}

/** The outermost skipped block holds the reason. */
function titleOfSkipped(test) {
  let title = test.name;
  for (let block = test.parent; block.type === 'suite'; block = block.parent) {
    if (block.options.mode === 'skip') title = block.name;
  }
  return title;
}
