/** Names that generated files declare for messages: files that import one another must agree on them. */
import type { DescFile, DescMessage } from '@bufbuild/protobuf';
import { type Analysis, allMessages } from '../schema/analysis.js';
import { NameScope } from './names.js';

/** What a generated file declares for one message. */
export interface MessageNames {
  readonly opened: string;
  readonly plan: string;
}

interface FileNames {
  readonly scope: NameScope;
  readonly messages: ReadonlyMap<DescMessage, MessageNames>;
}

/** Computes each file's names once, always in the file's own order. */
export class DeclaredNames {
  readonly #analysis: Analysis;
  readonly #nameOf: (message: DescMessage) => string;
  readonly #files = new Map<DescFile, FileNames>();

  /** @param nameOf gives the name of a message's type in TypeScript */
  constructor(analysis: Analysis, nameOf: (message: DescMessage) => string) {
    this.#analysis = analysis;
    this.#nameOf = nameOf;
  }

  /** @param message one from which something sealed can be reached */
  of(message: DescMessage): MessageNames {
    return this.#names(message.file).messages.get(message) as MessageNames;
  }

  /** A scope in which the file's message names are taken. */
  scopeOf(file: DescFile): NameScope {
    return this.#names(file).scope.copy();
  }

  #names(file: DescFile): FileNames {
    const known = this.#files.get(file);
    if (known !== undefined) return known;
    const scope = new NameScope();
    const messages = new Map<DescMessage, MessageNames>();
    for (const message of allMessages(file)) {
      if (this.#analysis.describe(message) === undefined) continue;
      const name = this.#nameOf(message);
      messages.set(message, { opened: scope.claim(`Opened${name}`), plan: scope.claim(`${name}Plan`) });
    }
    const names = { scope, messages };
    this.#files.set(file, names);
    return names;
  }
}
