//go:build cgo

#define _GNU_SOURCE
#include "api.h"

#include <dlfcn.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdlib.h>
#include <string.h>

// The positions of the functions in OrtApi. New functions are only ever
// appended there, so a position holds for every later library.
#define FUNCTIONS(F)                        \
  F(GetErrorCode, 1)                        \
  F(GetErrorMessage, 2)                     \
  F(Run, 9)                                 \
  F(SessionGetInputCount, 30)               \
  F(SessionGetOutputCount, 31)              \
  F(SessionGetOverridableInitializerCount, 32) \
  F(SessionGetInputTypeInfo, 33)            \
  F(SessionGetOutputTypeInfo, 34)           \
  F(SessionGetOverridableInitializerTypeInfo, 35) \
  F(SessionGetInputName, 36)                \
  F(SessionGetOutputName, 37)               \
  F(SessionGetOverridableInitializerName, 38) \
  F(CreateRunOptions, 39)                   \
  F(RunOptionsSetTerminate, 46)             \
  F(RunOptionsUnsetTerminate, 47)           \
  F(CreateTensorAsOrtValue, 48)             \
  F(CreateTensorWithDataAsOrtValue, 49)     \
  F(GetTensorMutableData, 51)               \
  F(GetStringTensorDataLength, 53)          \
  F(GetStringTensorContent, 54)             \
  F(CastTypeInfoToTensorInfo, 55)           \
  F(GetOnnxTypeFromTypeInfo, 56)            \
  F(GetTensorElementType, 60)               \
  F(GetDimensionsCount, 61)                 \
  F(GetDimensions, 62)                      \
  F(GetTensorShapeElementCount, 64)         \
  F(GetTensorTypeAndShape, 65)              \
  F(GetValueType, 67)                       \
  F(CreateCpuMemoryInfo, 69)                \
  F(AllocatorFree, 76)                      \
  F(GetAllocatorWithDefaultOptions, 78)     \
  F(ReleaseStatus, 93)                      \
  F(ReleaseValue, 96)                       \
  F(ReleaseRunOptions, 97)                  \
  F(ReleaseTypeInfo, 98)                    \
  F(ReleaseTensorTypeAndShapeInfo, 99)      \
  F(HasValue, 192)                          \
  F(CastTypeInfoToOptionalTypeInfo, 250)    \
  F(GetOptionalContainedTypeInfo, 251)      \
  F(GetResizedStringTensorElementBuffer, 252) \
  F(GetTensorSizeInBytes, 318)              \
  F(TensorTypeAndShape_HasShape, 390)

enum {
#define POSITION(name, at) at_##name = at,
  FUNCTIONS(POSITION)
#undef POSITION
};

enum { KIND_TENSOR = 1, KIND_OPTIONAL = 6, ELEM_STRING = 8 };

// Set once by sluice_open, before any other call.
static void *const *table;
static void *memory;    // OrtMemoryInfo of plain CPU memory
static void *allocator; // the default OrtAllocator; owned by the library

#define CALL(result, name, ...) ((result(*) __VA_ARGS__)table[at_##name])
#define TRY(call)              \
  do {                         \
    void *status_ = (call);    \
    if (status_) return status_; \
  } while (0)

int sluice_position(const char *name) {
  static const struct { const char *name; int at; } all[] = {
#define ENTRY(name, at) {#name, at},
    FUNCTIONS(ENTRY)
#undef ENTRY
  };
  for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
    if (!strcmp(all[i].name, name)) return all[i].at;
  return -1;
}

typedef struct {
  void *const *(*get_api)(uint32_t version);
  const char *(*get_version)(void);
} api_base;

int sluice_open(const char *path, uint32_t version) {
  void *library = dlopen(path, RTLD_LAZY);
  if (!library) return 1;
  api_base *(*get_base)(void) = (api_base * (*)(void)) dlsym(library, "OrtGetApiBase");
  if (!get_base) return 2;
  void *const *found = get_base()->get_api(version);
  if (!found) return 3;
  table = found;
  if (CALL(void *, CreateCpuMemoryInfo, (int, int, void **))(1, 0, &memory)) return 4;
  if (CALL(void *, GetAllocatorWithDefaultOptions, (void **))(&allocator)) return 5;
  return 0;
}

// sluice_trim gives freed memory back to the system. glibc keeps it: what a
// session held lies in blocks below its threshold for mappings of their own,
// which grows with use.
void sluice_trim(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

int sluice_code(void *status) { return CALL(int, GetErrorCode, (void *))(status); }

const char *sluice_message(void *status) { return CALL(const char *, GetErrorMessage, (void *))(status); }

void sluice_free_status(void *status) { CALL(void, ReleaseStatus, (void *))(status); }

void sluice_free_name(char *name) {
  void *status = CALL(void *, AllocatorFree, (void *, void *))(allocator, name);
  if (status) sluice_free_status(status);
}

void *sluice_count(void *session, int which, size_t *n) {
  switch (which) {
    case SLUICE_INPUT: return CALL(void *, SessionGetInputCount, (void *, size_t *))(session, n);
    case SLUICE_OUTPUT: return CALL(void *, SessionGetOutputCount, (void *, size_t *))(session, n);
    default: return CALL(void *, SessionGetOverridableInitializerCount, (void *, size_t *))(session, n);
  }
}

// describe_type reads kind, element type and dims. An optional(tensor) is
// described by the tensor that it may hold.
static void *describe_type(void *type, sluice_port *port) {
  void *inner = type, *info = NULL;
  TRY(CALL(void *, GetOnnxTypeFromTypeInfo, (void *, int32_t *))(type, &port->kind));
  if (port->kind == KIND_OPTIONAL) {
    void *optional = NULL;
    TRY(CALL(void *, CastTypeInfoToOptionalTypeInfo, (void *, void **))(type, &optional));
    if (!optional) return NULL;
    TRY(CALL(void *, GetOptionalContainedTypeInfo, (void *, void **))(optional, &inner));
    port->optional = 1;
    void *status = CALL(void *, GetOnnxTypeFromTypeInfo, (void *, int32_t *))(inner, &port->kind);
    if (status) {
      CALL(void, ReleaseTypeInfo, (void *))(inner);
      return status;
    }
  }
  void *status = NULL;
  if (port->kind == KIND_TENSOR) {
    size_t rank = 0;
    status = CALL(void *, CastTypeInfoToTensorInfo, (void *, void **))(inner, &info);
    if (!status && info) status = CALL(void *, GetTensorElementType, (void *, int32_t *))(info, &port->elem);
    if (!status && info) status = CALL(void *, GetDimensionsCount, (void *, size_t *))(info, &rank);
    port->rank = (int64_t)rank;
    if (!status && info && rank <= SLUICE_MAX_RANK) {
      port->has_shape = CALL(_Bool, TensorTypeAndShape_HasShape, (void *))(info);
      status = CALL(void *, GetDimensions, (void *, int64_t *, size_t))(info, port->dims, rank);
    }
  }
  if (inner != type) CALL(void, ReleaseTypeInfo, (void *))(inner);
  return status;
}

void *sluice_describe(void *session, int which, size_t i, sluice_port *port) {
  static const int names[] = {at_SessionGetInputName, at_SessionGetOutputName, at_SessionGetOverridableInitializerName};
  static const int types[] = {at_SessionGetInputTypeInfo, at_SessionGetOutputTypeInfo,
                              at_SessionGetOverridableInitializerTypeInfo};
  void *type = NULL;
  memset(port, 0, sizeof(*port));
  TRY(((void *(*)(void *, size_t, void **))table[types[which]])(session, i, &type));
  void *status = describe_type(type, port);
  CALL(void, ReleaseTypeInfo, (void *))(type);
  if (status) return status;
  return ((void *(*)(void *, size_t, void *, char **))table[names[which]])(session, i, allocator, &port->name);
}

void *sluice_new_options(void **options) { return CALL(void *, CreateRunOptions, (void **))(options); }

void sluice_free_options(void *options) { CALL(void, ReleaseRunOptions, (void *))(options); }

void sluice_terminate(void *options, int on) {
  void *status = on ? CALL(void *, RunOptionsSetTerminate, (void *))(options)
                    : CALL(void *, RunOptionsUnsetTerminate, (void *))(options);
  if (status) sluice_free_status(status);
}

// fill_strings sets the elements of a new string tensor. The caller has
// checked that the lengths add up to exactly size.
static void *fill_strings(const sluice_tensor *t) {
  const uint8_t *at = t->data;
  for (int64_t i = 0; i < t->count; i++) {
    uint32_t n;
    char *element = NULL;
    memcpy(&n, at, sizeof(n));
    TRY(CALL(void *, GetResizedStringTensorElementBuffer, (void *, size_t, size_t, char **))(t->value, (size_t)i, n, &element));
    if (n) memcpy(element, at + sizeof(n), n);
    at += sizeof(n) + n;
  }
  return NULL;
}

static void *make_input(sluice_tensor *t) {
  if (t->elem != ELEM_STRING)
    return CALL(void *, CreateTensorWithDataAsOrtValue, (void *, void *, size_t, const int64_t *, size_t, int, void **))(
        memory, t->data, (size_t)t->size, t->shape, (size_t)t->rank, t->elem, &t->value);
  TRY(CALL(void *, CreateTensorAsOrtValue, (void *, const int64_t *, size_t, int, void **))(
      allocator, t->shape, (size_t)t->rank, t->elem, &t->value));
  return fill_strings(t);
}

// read_output fills in what a run answered. An output that holds no tensor
// keeps elem 0.
static void *read_output(sluice_tensor *t) {
  int32_t kind = 0, has = 0;
  void *info = NULL;
  size_t rank = 0, count = 0, size = 0;
  t->elem = 0;
  t->rank = 0;
  if (!t->value) return NULL;
  TRY(CALL(void *, HasValue, (void *, int32_t *))(t->value, &has));
  if (!has) return NULL;
  TRY(CALL(void *, GetValueType, (void *, int32_t *))(t->value, &kind));
  if (kind != KIND_TENSOR) return NULL;
  TRY(CALL(void *, GetTensorTypeAndShape, (void *, void **))(t->value, &info));
  void *status = CALL(void *, GetTensorElementType, (void *, int32_t *))(info, &t->elem);
  if (!status) status = CALL(void *, GetDimensionsCount, (void *, size_t *))(info, &rank);
  if (!status && rank <= SLUICE_MAX_RANK) status = CALL(void *, GetDimensions, (void *, int64_t *, size_t))(info, t->shape, rank);
  if (!status) status = CALL(void *, GetTensorShapeElementCount, (void *, size_t *))(info, &count);
  CALL(void, ReleaseTensorTypeAndShapeInfo, (void *))(info);
  if (status) return status;
  if (rank > SLUICE_MAX_RANK) {
    t->elem = 0;
    return NULL;
  }
  t->rank = (int32_t)rank;
  t->count = (int64_t)count;
  if (t->elem == ELEM_STRING) {
    status = CALL(void *, GetStringTensorDataLength, (void *, size_t *))(t->value, &size);
  } else {
    status = CALL(void *, GetTensorSizeInBytes, (void *, size_t *))(t->value, &size);
    if (!status) status = CALL(void *, GetTensorMutableData, (void *, void **))(t->value, (void **)&t->data);
  }
  t->size = (int64_t)size;
  return status;
}

void *sluice_run(sluice_frame *f) {
  const char **out_names = f->names + f->ins;
  void **out_values = f->values + f->ins;
  for (int64_t i = 0; i < f->ins; i++) {
    TRY(make_input(&f->in[i]));
    f->names[i] = f->in[i].name;
    f->values[i] = f->in[i].value;
  }
  for (int64_t i = 0; i < f->outs; i++) {
    out_names[i] = f->out[i].name;
    out_values[i] = NULL;
  }
  void *status = CALL(void *, Run, (void *, void *, const char **, void **, size_t, const char **, size_t, void **))(
      f->session, f->options, f->names, f->values, (size_t)f->ins, out_names, (size_t)f->outs, out_values);
  for (int64_t i = 0; i < f->outs; i++) f->out[i].value = out_values[i];
  if (status) return status;
  for (int64_t i = 0; i < f->outs; i++) TRY(read_output(&f->out[i]));
  return NULL;
}

static void release_all(sluice_tensor *t, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if (t[i].value) CALL(void, ReleaseValue, (void *))(t[i].value);
    t[i].value = NULL;
    t[i].data = NULL;
  }
}

void sluice_release(sluice_frame *f) {
  release_all(f->in, f->ins);
  release_all(f->out, f->outs);
}

void *sluice_copy_strings(const sluice_tensor *t, uint8_t *dst) {
  size_t n = (size_t)t->count, size = (size_t)t->size;
  size_t *offsets = malloc(n * sizeof(size_t) + size + 1);
  if (!offsets) abort(); // As Go does when memory ends.
  uint8_t *text = (uint8_t *)(offsets + n);
  void *status = CALL(void *, GetStringTensorContent, (void *, void *, size_t, size_t *, size_t))(t->value, text, size, offsets, n);
  for (size_t i = 0; !status && i < n; i++) {
    size_t end = i + 1 < n ? offsets[i + 1] : size;
    uint32_t length = (uint32_t)(end - offsets[i]);
    memcpy(dst, &length, sizeof(length));
    memcpy(dst + sizeof(length), text + offsets[i], length);
    dst += sizeof(length) + length;
  }
  free(offsets);
  return status;
}
