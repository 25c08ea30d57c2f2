import { readFile } from 'node:fs/promises';
import { Inject, Injectable } from '@nestjs/common';
import { Clock, CONFIG, systemContext, type Config } from '@gantry/platform';
import { Authorities } from './authorities';
import { certificatesOf, issueCertificate } from './certificate-format';

const dayMillis = 86_400_000;
const lifetimeDays = 90;
const renewalDays = 30;

/** What a TLS listener needs, PEM. */
export interface ListenerCertificate {
  cert: string;
  key: string;
  /** The authority that has signed it. */
  ca: string;
}

/**
 * The certificate of the engine gateway's listener where the operator gives none (GANTRY_TLS_CERT_FILE). Each process makes its own, which needs no
 * storing: clients believe the authority behind it.
 */
@Injectable()
export class GatewayCertificate {
  private made: { until: number; certificate: Promise<ListenerCertificate> } | null = null;

  constructor(
    private readonly clock: Clock,
    private readonly authorities: Authorities,
    @Inject(CONFIG) private readonly config: Config,
  ) {}

  /**
   * The certificate for `localhost`, 127.0.0.1, ::1 and the host of GANTRY_PUBLIC_URL: the same as last time, or a new one where less than 30 days are
   * left. Listeners ask daily and use what they get from then on (`setSecureContext`).
   */
  async current(): Promise<ListenerCertificate> {
    const now = this.clock.now().getTime();
    if (this.made && now < this.made.until) return this.made.certificate;
    const made = { until: now + (lifetimeDays - renewalDays) * dayMillis, certificate: this.make(new Date(now)) };
    this.made = made;
    made.certificate.catch(() => {
      if (this.made === made) this.made = null;
    });
    return made.certificate;
  }

  private async make(now: Date): Promise<ListenerCertificate> {
    const authority = await this.authorities.ensure(systemContext('access.gateway-certificate'), 'gateway');
    const hosts = [...new Set(['localhost', '127.0.0.1', '::1', gatewayHost(this.config)])];
    const issued = await issueCertificate(
      { certificate: authority.pem, key: authority.openKey() }, { commonName: 'Gantry engine gateway', now, notAfter: new Date(now.getTime() + lifetimeDays * dayMillis), use: { hosts } });
    return { cert: issued.certificate, key: issued.key, ca: authority.pem };
  }

  /**
   * Certificates, PEM, by which clients recognise the gateway: our authority's, or those of GANTRY_TLS_CERT_FILE where the operator gives one.
   * @throws when that file can't be read or holds no certificate
   */
  async trusted(): Promise<string> {
    if (this.config.tlsCertFile === null) return (await this.authorities.ensure(systemContext('access.gateway-certificate'), 'gateway')).pem;
    const certificates = certificatesOf(await readFile(this.config.tlsCertFile, 'utf8'));
    if (certificates.length === 0) throw new Error(`${this.config.tlsCertFile} (GANTRY_TLS_CERT_FILE) holds no certificate`);
    return certificates.join('');
  }
}

/** Host at which clients reach the engine gateway: that of GANTRY_PUBLIC_URL; IPv6 without brackets. */
export function gatewayHost(config: Pick<Config, 'publicUrl'>): string {
  return new URL(config.publicUrl).hostname.replace(/^\[(.*)\]$/, '$1');
}
