/**
 * gRPC server reflection, v1 and v1alpha: clients such as grpcurl learn from it which services there are and which
 * fields are sealed. Answers are the original descriptor bytes, for custom options are what it is about here.
 */
import { type handleBidiStreamingCall, type Server, type ServiceDefinition, status } from '@grpc/grpc-js';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../gen/grpc/reflection/v1/reflection.js';
import { DescriptorFiles } from '../schema/run-time/descriptor-files.js';

/** Options of {@link addReflection}. */
export interface ReflectionOptions {
  /** A serialized `google.protobuf.FileDescriptorSet` with all imports, as `buf build --as-file-descriptor-set` writes it. */
  readonly descriptors: Uint8Array;
  /** Full names of the services to list. Default: all of the set. */
  readonly services?: readonly string[];
}

type Answer = Omit<ServerReflectionResponse, 'validHost' | 'originalRequest'>;

/** v1alpha is v1 in another package: clients before 2023 ask for nothing else. */
const ALPHA_PATH = '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo';

/**
 * Adds server reflection. It tells every caller the schema, and no data.
 *
 * @throws SealwireError `PLAN_INVALID` for a malformed or incomplete set
 */
export function addReflection(server: Server, { descriptors, services }: ReflectionOptions): void {
  const files = new DescriptorFiles(descriptors);
  const names = [...(services ?? files.services)].sort();
  const handler: handleBidiStreamingCall<ServerReflectionRequest, ServerReflectionResponse> = (call) => {
    call.on('data', (request: ServerReflectionRequest) => {
      const isReady = call.write({
        validHost: request.host,
        originalRequest: request,
        ...answer(files, names, request),
      });
      // A client that asks but does not read gets no further answers.
      if (!isReady) {
        call.pause();
        call.once('drain', () => call.resume());
      }
    });
    call.on('end', () => call.end());
    // Without a listener an aborted stream would end the process.
    call.on('error', () => {});
  };
  const { serverReflectionInfo } = ServerReflectionService;
  const alpha = { serverReflectionInfo: { ...serverReflectionInfo, path: ALPHA_PATH } } satisfies ServiceDefinition;
  server.addService(ServerReflectionService, { serverReflectionInfo: handler });
  server.addService(alpha, { serverReflectionInfo: handler });
}

function answer(files: DescriptorFiles, services: readonly string[], request: ServerReflectionRequest): Answer {
  const { fileByFilename, fileContainingSymbol, fileContainingExtension, allExtensionNumbersOfType, listServices } =
    request;
  if (fileByFilename !== undefined) return describeFile(files, fileByFilename);
  if (fileContainingSymbol !== undefined) return describeFile(files, files.fileOfSymbol(fileContainingSymbol));
  if (fileContainingExtension !== undefined) {
    const { containingType, extensionNumber } = fileContainingExtension;
    return describeFile(files, files.fileOfExtension(containingType, extensionNumber));
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
  if (listServices !== undefined) return { listServicesResponse: { service: services.map((name) => ({ name })) } };
  return failure(status.UNIMPLEMENTED, 'not a request of this version of reflection');
}

function describeFile(files: DescriptorFiles, name: string | undefined): Answer {
  const found = name === undefined ? undefined : files.withImports(name);
  if (found === undefined) return failure(status.NOT_FOUND, 'not found');
  return { fileDescriptorResponse: { fileDescriptorProto: found.map((bytes) => Buffer.from(bytes)) } };
}

function failure(errorCode: number, errorMessage: string): Answer {
  return { errorResponse: { errorCode, errorMessage } };
}
