import { SignaturePoliciesController } from './signature-policies.controller';
import { SigningKeysController } from './signing-keys.controller';
import { VerdictsController } from './verdicts.controller';

/** Controllers of signing keys, signature policies and verdicts. */
export const trustControllers = [SigningKeysController, SignaturePoliciesController, VerdictsController];
