import { defineProblems } from '@gantry/platform';

/** The problems of this room. */
export const clustersProblem = defineProblems('clusters', {
  unreachable: { kind: 'unavailable', title: 'The engine does not answer', description: 'Check that the engine runs and that this address, its port and its firewall let Gantry in; then try again.' },
  'tls-failed': { kind: 'unprocessable', title: 'The engine and Gantry do not trust each other', description: 'Check that `ca` signed the engine’s certificate, that the certificate names the host, and that the engine’s `--tlscacert` signed the client certificate given here.' },
  'engine-failed': { kind: 'unavailable', title: 'The engine refused or failed', description: 'The engine’s own words are in `detail`.' },
  'not-a-manager': { kind: 'unprocessable', title: 'The engine is not a swarm manager', description: 'Run `docker swarm init --advertise-addr <address>` on it, or give the address of a manager of the swarm.' },
  'too-old': { kind: 'unprocessable', title: 'The engine is too old', description: 'Gantry speaks Engine API 1.41 and newer: Docker 20.10 or later.' },
  'already-registered': { kind: 'conflict', title: 'This swarm is registered already', description: 'One swarm is one cluster. Use the cluster named in `detail`, or remove it first.' },
  'registry-unreachable': { kind: 'unprocessable', title: 'The nodes of this swarm can’t reach the registry', description: 'The registry’s public host is a loopback address, which means another machine on every node. Set GANTRY_REGISTRY_PUBLIC_HOST to a name that all nodes reach.' },
  'other-swarm': { kind: 'conflict', title: 'This engine belongs to another swarm', description: 'A cluster stays one swarm. Register the other swarm as a cluster of its own.' },
  'bad-credentials': { kind: 'invalid', title: 'The TLS material is not usable', description: 'Give PEM texts: `ca` and `cert` certificates, and `key` the unencrypted private key of `cert`.' },
  'in-use': { kind: 'conflict', title: 'The cluster is in use', description: 'Remove the environments that deploy to it first.' },
  'spec-invalid': { kind: 'unprocessable', title: 'This can’t be asked of an engine through Gantry', description: 'Correct the members named in `errors`; members that Gantry does not know are refused, never passed on.' },
  'host-option': { kind: 'forbidden', title: 'An option would affect the host', description: 'Options such as bind mounts, added capabilities or the host’s network need an operation of their own; ask an administrator.' },
  'name-claimed': { kind: 'conflict', title: 'The name belongs to somebody else', description: 'Object names are unique in a cluster. Give the stack or the object another name.' },
  'claim-lost': { kind: 'conflict', title: 'The object was made, but belongs to nobody', description: 'Making it took so long that its name was given up. An administrator can remove the object or give it an owner.' },
  'image-not-pinned': { kind: 'unprocessable', title: 'The image is not pinned', description: 'Only `<registry>/<namespace>/<name>@sha256:<digest>` can run, so that what was checked is what runs.' },
  'image-foreign': { kind: 'unprocessable', title: 'The image is not from this registry', description: 'Push the image to this registry first; nodes run nothing from elsewhere.' },
  'image-refused': { kind: 'forbidden', title: 'The signature policy refuses the image', description: 'The reason is in `reason` and `detail`. Sign the digest with a key that the policy demands.' },
  'no-node': { kind: 'forbidden', title: 'There is no node on which this may run', description: 'Nodes in collections take the work of those who have `node:schedule` there; ask an administrator.' },
  'no-such-object': { kind: 'not-found', title: 'There is no such object', description: 'Either it is not there, or you may not know of it.' },
  'call-forbidden': { kind: 'forbidden', title: 'The call is not allowed', description: 'The operation that is missing is named in `detail`; docs/engine-api.md tells what needs which.' },
  'call-too-new': { kind: 'invalid', title: 'The engine does not speak this version', description: 'Clients that negotiate settle on an older one by themselves; others take it from DOCKER_API_VERSION.' },
  'not-passed-on': { kind: 'forbidden', title: 'Gantry does not pass this call on', description: 'docs/engine-api.md lists the calls that are passed on to engines.' },
  'choose-cluster': { kind: 'invalid', title: 'It is not clear which cluster is meant', description: 'Use a client bundle that was made for one cluster, or send its name in X-Gantry-Cluster.' },
  'judgement-spent': { kind: 'conflict', title: 'The judgement can’t be used', description: 'A judgement is good for one change, for a minute. Judge the wish again.' },
});
