import { findTool } from '@gantry/trust/testing';

/** Compose v2 as one program, unpacked from Debian's package (not installed); null when the archive no longer has exactly this version. */
export async function findCompose2(): Promise<string | null> {
  const tool = await findTool({
    package: 'docker-compose',
    version: '2.26.1',
    debVersion: '2.26.1-4',
    suites: ['trixie'],
    program: 'usr/libexec/docker/cli-plugins/docker-compose',
    sha256Amd64: '47681197cb2b1ab88206b42a1a92fc75f50d9530a6322d03494a473eed0408ea',
  });
  return tool?.path ?? null;
}
