import { createHmac } from 'node:crypto';

/** The code that an authenticator with this secret (Base32, as it is shown) would show at a time. Written apart from the product's own code, to check it. */
export function codeOf(secret: string, time: Date): string {
  let number = 0n;
  for (const digit of secret) number = number * 32n + BigInt('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(digit));
  const key = Buffer.from(number.toString(16).padStart((secret.length * 5) / 4, '0'), 'hex');
  const counter = Math.floor(time.getTime() / 30_000).toString(16).padStart(16, '0');
  const mac = createHmac('sha1', key).update(Buffer.from(counter, 'hex')).digest('hex');
  const at = parseInt(mac.slice(-1), 16) * 2;
  const value = BigInt(`0x${mac.slice(at, at + 8)}`) % (1n << 31n);
  return (value % 1_000_000n).toString().padStart(6, '0');
}
