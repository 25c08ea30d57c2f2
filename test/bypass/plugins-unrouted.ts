import { type Attempt, calls } from './book';

export const attempt: Attempt = {
  title: 'reach the plugin endpoints, which are root on the host',
  source: 'CVE-2026-44848: `/plugins/*` fell through a proxy’s list of known prefixes',
  try: (world) =>
    calls(world,
      [
        ['GET', '/plugins'], ['GET', '/plugins/privileges?remote=vieux/sshfs'], ['POST', '/plugins/pull?remote=vieux/sshfs', []], ['POST',
          '/plugins/create?name=evil', Buffer.alloc(1024)],
        ['POST', '/plugins/evil/enable?timeout=0'], ['POST', '/plugins/evil/disable'], ['POST', '/plugins/evil/set', ['DEBUG=1']], ['POST',
          '/plugins/evil/upgrade?remote=vieux/sshfs', []],
        ['POST', '/plugins/vieux/sshfs/push'], ['DELETE', '/plugins/evil?force=1'], ['GET', '/plugins/evil/json'], ['GET', '/Plugins'],
          ['POST', '/plugins'],
      ]),
};
