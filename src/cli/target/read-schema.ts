/** Reads a service's descriptors by server reflection: v1, or v1alpha as a fallback. */
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientOptions,
  Metadata,
  type ServiceError,
  status,
} from '@grpc/grpc-js';
import { SealwireError } from '../../errors.js';
import {
  ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../../gen/grpc/reflection/v1/reflection.js';

/** Options of {@link readSchema}. */
export interface ReadSchemaOptions {
  /** grpc-js target, e.g. `localhost:50051`. */
  readonly address: string;
  /** grpc-js channel credentials. */
  readonly credentials: ChannelCredentials;
  /** grpc-js channel options. */
  readonly channelOptions?: ClientOptions;
  /** Default: none. */
  readonly metadata?: Metadata;
  /** Full names of services. Default: all that the service lists. */
  readonly services?: readonly string[];
  /** Time limit of the whole reading, in ms. Default 10,000. */
  readonly deadlineMs?: number;
}

/** What a service says about itself. */
export interface ReflectedSchema {
  /** A serialized `google.protobuf.FileDescriptorSet`, imports first; each file as the service sent it. */
  readonly descriptors: Uint8Array;
  readonly services: readonly string[];
  readonly version: 'v1' | 'v1alpha';
}

const VERSIONS = ['v1', 'v1alpha'] as const;
/** A larger schema is not read. */
const MAX_FILES = 2_000;
const RECEIVE_LIMIT_BYTES = 16_777_216;
/** Field 1 of `FileDescriptorSet`, length-delimited. */
const FILE_TAG = 0x0a;

/**
 * Reads descriptors with all their imports.
 *
 * @throws SealwireError `SCHEMA_UNAVAILABLE` when the service cannot be reached or does not describe itself;
 *   `OPTIONS_INVALID` when it has no such service
 */
export async function readSchema(options: ReadSchemaOptions): Promise<ReflectedSchema> {
  const { address, credentials, channelOptions, metadata = new Metadata(), deadlineMs = 10_000 } = options;
  const deadline = Date.now() + deadlineMs;
  const client = new Client(address, credentials, {
    'grpc.max_receive_message_length': RECEIVE_LIMIT_BYTES,
    ...channelOptions,
  });
  try {
    let failure: unknown;
    for (const version of VERSIONS) {
      const conversation = new Conversation(client, version, metadata, deadline);
      try {
        return { version, ...(await readAll(conversation, options.services)) };
      } catch (error) {
        failure = error;
        if ((error as Partial<ServiceError>).code !== status.UNIMPLEMENTED) break;
      } finally {
        conversation.end();
      }
    }
    throw failure instanceof SealwireError ? failure : unavailable(address, failure);
  } finally {
    client.close();
  }
}

async function readAll(
  conversation: Conversation,
  wanted: readonly string[] | undefined,
): Promise<Omit<ReflectedSchema, 'version'>> {
  const listed = (await conversation.ask({ listServices: '' })).listServicesResponse?.service ?? [];
  const services = listed.map(({ name }) => name);
  const files = new Map<string, { readonly bytes: Uint8Array; readonly imports: readonly string[] }>();
  const add = ({ fileDescriptorResponse }: ServerReflectionResponse) => {
    for (const bytes of fileDescriptorResponse?.fileDescriptorProto ?? []) {
      const { name, dependency } = fromBinary(FileDescriptorProtoSchema, bytes);
      if (!files.has(name)) files.set(name, { bytes, imports: dependency });
    }
    if (files.size > MAX_FILES) throw new SealwireError('SCHEMA_UNAVAILABLE', 'the schema has too many files');
  };
  for (const service of wanted ?? services) {
    const answer = await conversation.ask({ fileContainingSymbol: service });
    if (answer.errorResponse !== undefined) {
      const those = services.length === 0 ? '' : `; it has ${services.join(', ')}`;
      throw new SealwireError('OPTIONS_INVALID', `the service does not know '${service}'${those}`);
    }
    add(answer);
  }
  // Some services send one file at a time. The map grows while it is walked.
  for (const { imports } of files.values()) {
    for (const name of imports) if (!files.has(name)) add(await conversation.ask({ fileByFilename: name }));
  }
  return { services, descriptors: joinFiles(files) };
}

/** Imports come before the files that need them. */
function joinFiles(files: ReadonlyMap<string, { readonly bytes: Uint8Array; readonly imports: readonly string[] }>) {
  const parts: Uint8Array[] = [];
  const seen = new Set<string>();
  const visit = (name: string) => {
    const file = files.get(name);
    if (file === undefined || seen.has(name)) return;
    seen.add(name);
    file.imports.forEach(visit);
    parts.push(Uint8Array.of(FILE_TAG), varint(file.bytes.length), file.bytes);
  };
  for (const name of files.keys()) visit(name);
  return new Uint8Array(Buffer.concat(parts));
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return Uint8Array.from([...bytes, rest]);
    bytes.push((rest % 128) + 128);
  }
}

/** One stream of questions, each answered before the next. */
class Conversation {
  readonly #call: ClientDuplexStream<ServerReflectionRequest, ServerReflectionResponse>;
  readonly #answers: AsyncIterator<ServerReflectionResponse>;

  constructor(client: Client, version: (typeof VERSIONS)[number], metadata: Metadata, deadline: number) {
    const { requestSerialize, responseDeserialize } = ServerReflectionService.serverReflectionInfo;
    const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`;
    this.#call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata, { deadline });
    this.#answers = this.#call[Symbol.asyncIterator]() as AsyncIterator<ServerReflectionResponse>;
  }

  async ask(request: Partial<ServerReflectionRequest>): Promise<ServerReflectionResponse> {
    this.#call.write(ServerReflectionRequest.fromPartial(request));
    const { value, done } = await this.#answers.next();
    if (done !== true) return value as ServerReflectionResponse;
    throw new SealwireError('SCHEMA_UNAVAILABLE', 'the service ended the reflection stream early');
  }

  end(): void {
    this.#call.on('error', () => {});
    this.#call.end();
    this.#call.cancel();
  }
}

function unavailable(address: string, error: unknown): SealwireError {
  const { code } = error as Partial<ServiceError>;
  const why =
    code === status.UNIMPLEMENTED
      ? 'has no server reflection; give --descriptors or --proto'
      : `cannot be asked for its schema (${code === undefined ? 'no gRPC' : status[code]})`;
  return new SealwireError('SCHEMA_UNAVAILABLE', `${address} ${why}`, { cause: error });
}
