import { type Attempt, each, v } from './book';

export const attempt: Attempt = {
  title: 'see processes of the host, or of others, by options for `ps`',
  source: '`ps` runs on the host, and `top` believes the column that calls itself PID',
  harmless: 'what is answered are the processes of ann’s own container',
  try: (world) =>
    each(['aux', '-eo pid,args', '-eo ppid=PID,args', '-eo uid=PID,args', '-o ppid=PID -o args', '-eo pid,args --ppid 1',
      '-e -o nlwp=PID,args', '-eo pid,args -o nlwp=PID', 'axo nlwp=PID,pid,args', '-eo "nlwp=PID",args', '-A -o pri=\tPID -o args',
      '--version'], (args) =>
      world.call('GET', `${v}/containers/${world.own.container.id}/top?ps_args=${encodeURIComponent(args)}`)),
};
