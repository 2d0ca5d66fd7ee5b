/**
 * gRPC server reflection, v1 and v1alpha: clients such as grpcurl learn from it which services there are and which
 * fields are sealed. Answers are the original descriptor bytes, for custom options are what it is about here.
 */
import {
  type handleBidiStreamingCall,
  type Server,
  type ServerDuplexStream,
  type ServiceDefinition,
  status,
} from '@grpc/grpc-js';
import {
  ServerReflectionRequest,
  ServerReflectionResponse,
  ServerReflectionService,
} from '../gen/grpc/reflection/v1/reflection.js';
import { DescriptorFiles } from '../schema/run-time/descriptor-files.js';
import type { CallerFunction } from './caller.js';
import { StreamShares } from './receive/stream-shares.js';

/** Options of {@link addReflection}. */
export interface ReflectionOptions {
  /**
   * A serialized `google.protobuf.FileDescriptorSet` with all imports, as `buf build --as-file-descriptor-set` writes
   * it.
   */
  readonly descriptors: Uint8Array;
  /** Full names of the services to list. Default: all of the set. */
  readonly services?: readonly string[];
  /** Whose a stream is. Default: as the open interceptor's. */
  readonly caller?: CallerFunction;
}

type Answer = Omit<ServerReflectionResponse, 'validHost' | 'originalRequest'>;
type Call = ServerDuplexStream<ServerReflectionRequest, Buffer>;

/** v1alpha is v1 in another package: clients before 2023 ask for nothing else. */
const ALPHA_PATH = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo';
/** Longest request: it holds names and a number. */
const MAX_REQUEST_BYTES = 2_048;
/** Requests of one stream. */
const MAX_REQUESTS = 1_000;
/** Streams of one caller. Each holds one answer at most. */
const MAX_STREAMS = 32;
/** Stands for a request that is too large to be looked at. */
const TOO_LARGE = ServerReflectionRequest.fromPartial({});

/**
 * Adds server reflection. It tells every caller the schema, and no data. A stream is read no further while its last
 * answer is not taken. Limits: 2,048 bytes of a request, 1,000 requests of a stream, 32 streams of a caller; beyond
 * them a stream ends with `RESOURCE_EXHAUSTED`.
 *
 * @throws SealwireError `PLAN_INVALID` for a malformed or incomplete set
 */
export function addReflection(server: Server, options: ReflectionOptions): void {
  const { descriptors, services, caller } = options;
  const files = new DescriptorFiles(descriptors);
  const answers = new Answers(files, [...(services ?? files.services)].sort());
  const streams = new StreamShares(MAX_STREAMS, caller);
  const handler: handleBidiStreamingCall<ServerReflectionRequest, Buffer> = (call) => {
    // Without a listener an aborted stream would end the process.
    call.on('error', () => {});
    if (streams.take(call)) serve(call, answers);
    else refuse(call, 'too many streams of server reflection');
  };
  const method = {
    ...ServerReflectionService.serverReflectionInfo,
    requestDeserialize: (bytes: Buffer) =>
      bytes.length > MAX_REQUEST_BYTES ? TOO_LARGE : ServerReflectionRequest.decode(bytes),
    responseSerialize: (bytes: Buffer) => bytes,
  };
  const implementation = { serverReflectionInfo: handler };
  server.addService({ serverReflectionInfo: method } satisfies ServiceDefinition, implementation);
  server.addService(
    { serverReflectionInfo: { ...method, path: ALPHA_PATH } } satisfies ServiceDefinition,
    implementation,
  );
}

/** One request after the other: the next is read when the answer to the last has left. */
function serve(call: Call, answers: Answers): void {
  let requests = 0;
  call.on('data', (request: ServerReflectionRequest) => {
    if (request === TOO_LARGE || ++requests > MAX_REQUESTS) {
      refuse(call, 'too much is asked of server reflection');
      return;
    }
    call.pause();
    call.write(answers.encode(request), () => call.resume());
  });
  call.on('end', () => call.end());
}

function refuse(call: Call, details: string): void {
  call.emit('error', { code: status.RESOURCE_EXHAUSTED, details });
}

/** Answers as bytes. What is large in them, the files, is encoded once and shared by all answers. */
class Answers {
  readonly #files: DescriptorFiles;
  readonly #services: readonly string[];
  readonly #encoded = new Map<string, Uint8Array>();

  constructor(files: DescriptorFiles, services: readonly string[]) {
    this.#files = files;
    this.#services = services;
  }

  /** @returns a serialized `ServerReflectionResponse` */
  encode(request: ServerReflectionRequest): Buffer {
    const head = { validHost: request.host, originalRequest: request };
    const answer = this.#answer(request);
    if (!(answer instanceof Uint8Array)) return Buffer.from(encode({ ...head, ...answer }));
    // Fields of one message may stand one after the other.
    return Buffer.concat([encode(head), answer]);
  }

  #answer(request: ServerReflectionRequest): Answer | Uint8Array {
    const { fileByFilename, fileContainingSymbol, fileContainingExtension, allExtensionNumbersOfType, listServices } =
      request;
    const files = this.#files;
    if (fileByFilename !== undefined) return this.#file(fileByFilename);
    if (fileContainingSymbol !== undefined) return this.#file(files.fileOfSymbol(fileContainingSymbol));
    if (fileContainingExtension !== undefined) {
      const { containingType, extensionNumber } = fileContainingExtension;
      return this.#file(files.fileOfExtension(containingType, extensionNumber));
    }
    if (allExtensionNumbersOfType !== undefined) {
      const extensionNumber = files.extensionNumbers(allExtensionNumbersOfType);
      if (extensionNumber === undefined) return failure(status.NOT_FOUND, 'no such message');
      const allExtensionNumbersResponse = {
        baseTypeName: allExtensionNumbersOfType,
        extensionNumber: [...extensionNumber],
      };
      return { allExtensionNumbersResponse };
    }
    if (listServices !== undefined) {
      return { listServicesResponse: { service: this.#services.map((name) => ({ name })) } };
    }
    return failure(status.UNIMPLEMENTED, 'not a request of this version of reflection');
  }

  /** At most one entry for each file of the set. */
  #file(name: string | undefined): Answer | Uint8Array {
    const known = name === undefined ? undefined : this.#encoded.get(name);
    if (known !== undefined) return known;
    const found = name === undefined ? undefined : this.#files.withImports(name);
    if (name === undefined || found === undefined) return failure(status.NOT_FOUND, 'not found');
    const encoded = encode({
      fileDescriptorResponse: { fileDescriptorProto: found.map((bytes) => Buffer.from(bytes)) },
    });
    this.#encoded.set(name, encoded);
    return encoded;
  }
}

function encode(response: Partial<ServerReflectionResponse>): Uint8Array {
  return ServerReflectionResponse.encode(ServerReflectionResponse.fromPartial(response)).finish();
}

function failure(errorCode: number, errorMessage: string): Answer {
  return { errorResponse: { errorCode, errorMessage } };
}
