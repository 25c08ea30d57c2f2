import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { eventually } from '@gantry/platform/testing';
import { refuseDial } from '../src/directory/refuse-dial';

it('leaves no connection behind where a socket is refused as it is announced', async () => {
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('error', () => undefined).on('close', () => open.delete(socket)).resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const onSocket = (message: unknown): void => {
    const { socket } = message as { socket: Socket };
    socket.on('error', () => undefined);
    refuseDial(socket);
  };
  subscribe('net.client.socket', onSocket);
  let closed = 0;
  try {
    for (const host of ['127.0.0.1', 'localhost']) connect(port, host).on('close', () => (closed += 1));
  } finally {
    unsubscribe('net.client.socket', onSocket);
  }
  try {
    await eventually('both sockets are closed', () => closed === 2, 30);
    // What was dialled reaches the server, if at all, before a connection that is made afterwards.
    const last = connect(port, '127.0.0.1');
    await eventually('the last connection is the only one', () => !last.connecting && open.size === 1, 30);
    last.destroy();
    await eventually('all are closed', () => open.size === 0, 30);
  } finally {
    for (const socket of open) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
});
