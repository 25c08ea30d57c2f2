import { PassThrough } from 'node:stream';
import { carried, Farewell } from './build-session';

const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

function frame(type: number, payload: number): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload, 0, 3);
  head[3] = type;
  return Buffer.concat([head, Buffer.alloc(payload, 1)]);
}

const [data, headers, settings, goaway] = [0, 1, 4, 7];
const heard = (bytes: Buffer, size: number): boolean => {
  const farewell = new Farewell();
  for (let at = 0; at < bytes.length; at += size) if (!farewell.allows(bytes.subarray(at, at + size))) return false;
  return true;
};

describe('Farewell', () => {
  it.each([1, 2, 8, 9, 10, 33, 1_000])('hears calls before a client’s goodbye, and none after it, in pieces of %d bytes', (size) => {
    const before = Buffer.concat([preface, frame(settings, 18), frame(headers, 70), frame(data, 300), frame(headers, 40), frame(goaway, 8), frame(data, 90)]);
    expect(heard(before, size)).toBe(true);
    expect(heard(Buffer.concat([before, frame(headers, 12)]), size)).toBe(false);
  });

  it('ends the connection', () => {
    const socket = new PassThrough();
    const carrier = carried(socket, new Farewell());
    const got: Buffer[] = [];
    carrier.on('data', (chunk: Buffer) => got.push(chunk));
    socket.emit('data', Buffer.concat([preface, frame(goaway, 8)]));
    socket.emit('data', frame(headers, 12));
    expect([carrier.destroyed, socket.destroyed, Buffer.concat(got).includes(frame(headers, 12))]).toEqual([true, true, false]);
  });
});
