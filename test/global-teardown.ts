import { stopPostgres } from './global-setup';

/** Ends what `global-setup` started. */
export default function teardown(): void {
  stopPostgres();
}
