/**
 * The `layerstore` command: reads the arguments, runs one verb, reports how it ended.
 *
 * Exit status: 0, 1 failure, 125 usage, 128 + n after a signal; `run` passes the program's own code.
 */
import { isBrokenPipe, report } from './failures.js';
import { runProgram } from './program.js';
import { Session } from './session.js';
import { exitCodeOf, listenForSignals } from './signals.js';

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(`layerstore: node ${process.versions.node} is too old\nhint: install Node 20.19 or newer\n`);
  process.exit(1);
}

const interruption = listenForSignals();
const session = new Session(interruption);
try {
  await runProgram(process.argv.slice(2), session);
} catch (error) {
  if (isBrokenPipe(error)) session.exitCode = exitCodeOf('SIGPIPE');
  else if (!interruption.explains(error)) {
    session.exitCode = report(error, process.stderr, { stack: session.logLevel === 'debug' });
  }
}
process.exitCode = interruption.exitCode ?? session.exitCode;
