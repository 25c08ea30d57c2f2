import { connect, createServer, type AddressInfo, type Socket } from 'node:net';

/** Something that listens on loopback in a directory's place. */
export interface BadPeer {
  port: number;
  /** Everything that clients have sent, as Latin-1 text. */
  received(): string;
  connections(): number;
  close(): Promise<void>;
}

/** Accepts connections and never answers; it doesn't read either, so that it doesn't notice a goodbye. */
export async function silentPeer(): Promise<BadPeer> {
  return listen((socket) => socket.pause());
}

/** Passes everything on to a server, until `afterReplies` pieces came back from it; then cuts both ends, or keeps them open in silence. */
export async function failingPeer(target: number, afterReplies: number, how: 'cut' | 'silence'): Promise<BadPeer> {
  return relay(target, (replies, reply, socket, server) => {
    if (replies <= afterReplies) return reply;
    if (how === 'cut') {
      socket.destroy();
      server.destroy();
    }
    return null;
  });
}

/** Passes everything on to a server and changes what comes back. */
export async function lyingPeer(target: number, change: (reply: Buffer) => Buffer): Promise<BadPeer> {
  return relay(target, (_replies, reply) => change(reply));
}

async function relay(
  target: number,
  judge: (replies: number, reply: Buffer, socket: Socket, server: Socket) => Buffer | null,
): Promise<BadPeer> {
  return listen((socket, record) => {
    const server = connect(target, '127.0.0.1');
    let replies = 0;
    server.on('data', (data: Buffer) => {
      replies += 1;
      const answer = judge(replies, data, socket, server);
      if (answer !== null) socket.write(answer);
    });
    socket.on('data', (data: Buffer) => {
      record(data);
      server.write(data);
    });
    server.on('error', () => socket.destroy());
    server.on('close', () => socket.end());
    socket.on('close', () => server.destroy());
  });
}

async function listen(serve: (socket: Socket, record: (data: Buffer) => void) => void): Promise<BadPeer> {
  const sockets = new Set<Socket>();
  let received = '';
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => socket.destroy());
    serve(socket, (data) => (received += data.toString('latin1')));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    received: () => received,
    connections: () => connections,
    close: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
