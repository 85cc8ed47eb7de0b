// The part of ONNX Runtime's C interface that the package needs, as functions
// that take and return plain pointers. Every sluice_ function that returns
// void* returns an OrtStatus*: NULL is success.
#ifndef SLUICE_ORT_API_H
#define SLUICE_ORT_API_H

#include <stddef.h>
#include <stdint.h>

enum { SLUICE_MAX_RANK = 32 };

enum { SLUICE_INPUT, SLUICE_OUTPUT, SLUICE_INITIALIZER };

// sluice_port describes an input, an output or an overridable initializer.
typedef struct {
  char *name;        // the allocator's; freed by sluice_free_name
  int32_t kind;      // ONNXType
  int32_t optional;  // the port is an optional(tensor)
  int32_t elem;      // ONNXTensorElementDataType
  int32_t has_shape; // 0: not even the rank is known
  int64_t rank;
  int64_t dims[SLUICE_MAX_RANK]; // -1: free
} sluice_port;

// sluice_tensor is one tensor of a run. For strings, data holds the elements
// each with a little-endian 32-bit length before it.
typedef struct {
  const char *name;
  void *value; // OrtValue
  uint8_t *data;
  int64_t size;  // bytes; of string outputs without the lengths
  int64_t count; // elements
  int32_t elem;
  int32_t rank;
  int64_t shape[SLUICE_MAX_RANK];
} sluice_tensor;

// sluice_frame is one run.
typedef struct {
  void *session;
  void *options; // OrtRunOptions
  sluice_tensor *in, *out;
  const char **names;  // scratch: inputs, then outputs
  void **values;       // scratch: inputs, then outputs
  int64_t ins, outs;
} sluice_frame;

int sluice_open(const char *path, uint32_t version);
int sluice_position(const char *name);

void sluice_trim(void);

int sluice_code(void *status);
const char *sluice_message(void *status);
void sluice_free_status(void *status);

void *sluice_count(void *session, int which, size_t *n);
void *sluice_describe(void *session, int which, size_t i, sluice_port *port);
void sluice_free_name(char *name);

void *sluice_new_options(void **options);
void sluice_free_options(void *options);
void sluice_terminate(void *options, int on);

void *sluice_run(sluice_frame *frame);
void sluice_release(sluice_frame *frame);
void *sluice_copy_strings(const sluice_tensor *t, uint8_t *dst);

#endif
