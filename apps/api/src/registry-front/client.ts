import type { IncomingMessage } from 'node:http';
import { BlockList, isIP } from 'node:net';
import type { TLSSocket } from 'node:tls';

/** Says how a client reached us; believes `X-Forwarded-*` only from trusted proxies. */
export class ClientView {
  private readonly proxies = new BlockList();
  private readonly hasProxies: boolean;

  /** @param trusted addresses or CIDR ranges */
  constructor(trusted: string[]) {
    this.hasProxies = trusted.length > 0;
    for (const entry of trusted) {
      const [address, prefix] = entry.split('/');
      const family = isIP(address!);
      if (family === 0) throw new Error(`GANTRY_TRUSTED_PROXIES: ${entry} is neither an address nor a range`);
      const type = family === 6 ? 'ipv6' : 'ipv4';
      if (prefix === undefined) this.proxies.addAddress(address!, type);
      else this.proxies.addSubnet(address!, Number(prefix), type);
    }
  }

  /** The client's address: the last one in `X-Forwarded-For` that is no trusted proxy. */
  address(request: IncomingMessage): string | null {
    let address = plain(request.socket.remoteAddress ?? '');
    const forwarded = String(request.headers['x-forwarded-for'] ?? '').split(',').map((part) => plain(part.trim()));
    while (this.isTrusted(address)) {
      const next = forwarded.pop();
      if (next === undefined || isIP(next) === 0) break;
      address = next;
    }
    return address === '' ? null : address;
  }

  /** `https://registry.example:5000` as the client wrote it, or null when its Host header can't be one. */
  origin(request: IncomingMessage): string | null {
    const host = request.headers.host ?? '';
    if (!/^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/.test(host)) return null;
    const secure = (request.socket as TLSSocket).encrypted === true;
    const forwarded = this.isTrusted(plain(request.socket.remoteAddress ?? '')) ? request.headers['x-forwarded-proto'] : undefined;
    return `${forwarded === 'https' || forwarded === 'http' ? forwarded : secure ? 'https' : 'http'}://${host}`;
  }

  private isTrusted(address: string): boolean {
    if (!this.hasProxies) return false;
    const family = isIP(address);
    return family !== 0 && this.proxies.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }
}

/** IPv4 as such, also where a dual-stack socket says `::ffff:…`. */
function plain(address: string): string {
  return address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address;
}
