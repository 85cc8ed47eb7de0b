package gateway_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // for clients: they watch it
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

const (
	v2Service      = "inference.GRPCInferenceService"
	servingService = "tensorflow.serving.PredictionService"
	servingModels  = "tensorflow.serving.ModelService"
)

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// watch watches the health of a service and returns what tells its next status.
func watch(t *testing.T, conn *grpc.ClientConn, service string) func() string {
	t.Helper()
	s, err := grpc_health_v1.NewHealthClient(conn).Watch(soon(t), &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		t.Fatal(err)
	}
	return func() string {
		a, err := s.Recv()
		if err != nil {
			return status.Code(err).String()
		}
		return a.GetStatus().String()
	}
}

func TestHealth(t *testing.T) {
	r := start(t, oneModel)
	_, conn := r.dial("http")
	health := grpc_health_v1.NewHealthClient(conn)
	for service, want := range map[string]string{"": "SERVING", v2Service: "SERVING", servingService: "SERVING", servingModels: "SERVING", "m": "SERVING", "nope": "NotFound"} {
		var head metadata.MD
		a, err := health.Check(soon(t), &grpc_health_v1.HealthCheckRequest{Service: service}, grpc.Header(&head))
		got := a.GetStatus().String()
		if err != nil {
			got = status.Code(err).String()
		} else if len(head.Get("x-request-id")) != 1 {
			t.Errorf("%q: metadata %v", service, head)
		}
		if got != want {
			t.Errorf("%q is %s, want %s", service, got, want)
		}
	}
	list, err := health.List(soon(t), &grpc_health_v1.HealthListRequest{})
	if err != nil || len(list.GetStatuses()) != 5 || list.GetStatuses()["m"].GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("list %v, %v", list, err)
	}
}

// TestWatchesTellChanges holds that a watch tells what is, each change, and nothing else; and that watches do
// not hold up the end.
func TestWatchesTellChanges(t *testing.T) {
	r := start(t, oneModel)
	_, conn := r.dial("http")
	server, service, model, late := watch(t, conn, ""), watch(t, conn, v2Service), watch(t, conn, "m"), watch(t, conn, "late")
	expect := func(name string, next func() string, want string) {
		t.Helper()
		if got := next(); got != want {
			t.Errorf("%s is told %s, want %s", name, got, want)
		}
	}
	expect("the server", server, "SERVING")
	expect("the service", service, "SERVING")
	expect("the model", model, "SERVING")
	expect("what nobody knows", late, "SERVICE_UNKNOWN")

	for range 3 { // generations that change nothing
		if err := r.reload(); err != nil {
			t.Fatal(err)
		}
	}
	r.write(oneModel + "  - name: late\n    targets: [{version: \"1\", pool: p, upstream: {model: m}}]\n")
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	expect("a model that came", late, "SERVING")
	for _, version := range []string{"1", "2"} {
		if code, body := r.call("admin", "POST", "/v1/models/m/versions/"+version+":disable", ""); code != 200 {
			t.Fatalf("disable: %d %s", code, body)
		}
	}
	expect("a model without versions", model, "NOT_SERVING")
	if code, body := r.call("admin", "POST", "/v1/models/m/versions/2:enable", ""); code != 200 {
		t.Fatalf("enable: %d %s", code, body)
	}
	expect("a model that is back", model, "SERVING")
	r.write(oneModel)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	expect("a model that went", late, "SERVICE_UNKNOWN")

	began := time.Now()
	r.signals <- syscall.SIGTERM
	expect("the server, draining,", server, "NOT_SERVING")
	expect("the service, draining,", service, "NOT_SERVING")
	for _, next := range []func() string{server, service, model, late} {
		expect("a watch at the end", next, "Unavailable")
	}
	if err := r.end(); err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("the end took %v: %v", time.Since(began), err)
	}
}

// asking asks reflection, over v1, and returns the answer.
type asking func(*grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse

// reflect opens a stream of a version of reflection: the messages of both are the same but for their names.
func reflect(t *testing.T, conn *grpc.ClientConn, version string) asking {
	t.Helper()
	method := grpc_reflection_v1.ServerReflection_ServerReflectionInfo_FullMethodName
	if version == "v1alpha" {
		method = grpc_reflection_v1alpha.ServerReflection_ServerReflectionInfo_FullMethodName
	}
	s, err := conn.NewStream(soon(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.CloseSend(); err != nil {
			t.Error(err)
		}
		if err := s.RecvMsg(&grpc_reflection_v1.ServerReflectionResponse{}); err != io.EOF {
			t.Errorf("%s ended with %v", version, err)
		}
	})
	return func(q *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		t.Helper()
		if err := s.SendMsg(q); err != nil {
			t.Fatal(err)
		}
		a := &grpc_reflection_v1.ServerReflectionResponse{}
		if err := s.RecvMsg(a); err != nil {
			t.Fatal(err)
		}
		return a
	}
}

func TestReflection(t *testing.T) {
	r := start(t, oneModel)
	_, conn := r.dial("http")
	for _, version := range []string{"v1", "v1alpha"} {
		t.Run(version, func(t *testing.T) {
			ask := reflect(t, conn, version)
			var names []string
			list := ask(&grpc_reflection_v1.ServerReflectionRequest{
				MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
			})
			for _, s := range list.GetListServicesResponse().GetService() {
				names = append(names, s.GetName())
			}
			want := []string{
				"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection",
				v2Service, servingModels, servingService,
			}
			if !slices.Equal(names, want) {
				t.Errorf("services %q, want %q", names, want)
			}
			for _, name := range want {
				a := ask(symbol(name))
				if len(a.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
					t.Errorf("%s has no file: %v", name, a)
				}
			}
			if a := ask(symbol("no.Symbol")); codes.Code(a.GetErrorResponse().GetErrorCode()) != codes.NotFound {
				t.Errorf("an unknown symbol: %v", a)
			}
			a := ask(&grpc_reflection_v1.ServerReflectionRequest{
				MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileByFilename{FileByFilename: "grpc/health/v1/health.proto"},
			})
			if len(a.GetFileDescriptorResponse().GetFileDescriptorProto()) != 1 {
				t.Errorf("a file by its name: %v", a)
			}
		})
	}
}

func symbol(name string) *grpc_reflection_v1.ServerReflectionRequest {
	return &grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name},
	}
}

// TestCallsFromReflection makes calls as grpcurl does: with nothing but what the server tells of itself.
func TestCallsFromReflection(t *testing.T) {
	r := start(t, oneModel)
	_, conn := r.dial("http")
	ask := reflect(t, conn, "v1")
	files := &descriptorpb.FileDescriptorSet{}
	for _, raw := range ask(symbol(v2Service)).GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := &descriptorpb.FileDescriptorProto{}
		if err := proto.Unmarshal(raw, file); err != nil {
			t.Fatal(err)
		}
		files.File = append(files.File, file)
	}
	known, err := protodesc.NewFiles(files)
	if err != nil {
		t.Fatal(err)
	}
	d, err := known.FindDescriptorByName(v2Service)
	if err != nil {
		t.Fatal(err)
	}
	method := d.(protoreflect.ServiceDescriptor).Methods().ByName("ModelMetadata")
	in, out := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	in.Set(method.Input().Fields().ByName("name"), protoreflect.ValueOfString("m"))
	if err := conn.Invoke(soon(t), "/"+v2Service+"/ModelMetadata", in, out); err != nil {
		t.Fatal(err)
	}
	if got := out.Get(method.Output().Fields().ByName("name")).String(); got != "m" {
		t.Errorf("the answer is of %q", got)
	}
}

// TestWatchesEndWithTheirPort holds that a port which a reload closes does not wait for those who watch.
func TestWatchesEndWithTheirPort(t *testing.T) {
	r := start(t, oneModel)
	r.rewrite(strings.Replace(listen, "  metrics:", "  grpc: {address: \"127.0.0.1:0\"}\n  metrics:", 1) + oneModel)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	_, one := r.dial("http")
	_, two := r.dial("grpc")
	stays, goes := watch(t, one, ""), watch(t, two, "")
	for _, next := range []func() string{stays, goes} {
		if got := next(); got != "SERVING" {
			t.Fatalf("a watch is told %s", got)
		}
	}
	r.write(oneModel)
	if err := r.reload(); err != nil {
		t.Fatal(err)
	}
	if got := goes(); got != "Unavailable" {
		t.Errorf("the watch on the port that closed is told %s", got)
	}
	r.signals <- syscall.SIGTERM
	if got := stays(); got != "NOT_SERVING" {
		t.Errorf("the watch on the port that stays is told %s", got)
	}
}

// TestBalancersFollowHealth has the client of grpc-go watch a model and take the connection out of use with it.
func TestBalancersFollowHealth(t *testing.T) {
	r := start(t, oneModel)
	conn, err := grpc.NewClient(r.g.Addresses()["http"], grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": "m"}}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	conn.Connect()
	ctx := soon(t)
	await := func(want connectivity.State) {
		t.Helper()
		for state := conn.GetState(); state != want; state = conn.GetState() {
			if !conn.WaitForStateChange(ctx, state) {
				t.Fatalf("the connection is %v, never %v", state, want)
			}
		}
	}
	await(connectivity.Ready)
	for _, version := range []string{"1", "2"} {
		r.call("admin", "POST", "/v1/models/m/versions/"+version+":disable", "")
	}
	await(connectivity.TransientFailure)
	r.call("admin", "POST", "/v1/models/m/versions/1:enable", "")
	await(connectivity.Ready)
}

// TestManyWatch holds that each of many watches ends with what is, however fast it changes.
func TestManyWatch(t *testing.T) {
	r := start(t, oneModel)
	const watches, changes = 40, 20
	last := make(chan string, watches)
	for range watches {
		_, conn := r.dial("http")
		next := watch(t, conn, "m")
		if got := next(); got != "SERVING" {
			t.Fatalf("a watch is told %s", got)
		}
		go func() {
			before := "SERVING"
			for {
				got := next()
				if got == before {
					t.Errorf("a watch is told %s twice", got)
				}
				if got == codes.Unavailable.String() {
					last <- before
					return
				}
				before = got
			}
		}()
	}
	for i := range changes {
		verb := ":disable"
		if i%2 == 1 {
			verb = ":enable"
		}
		for _, version := range []string{"1", "2"} {
			if code, body := r.call("admin", "POST", "/v1/models/m/versions/"+version+verb, ""); code != 200 {
				t.Fatalf("%s: %d %s", verb, code, body)
			}
		}
	}
	r.call("admin", "POST", "/v1/models/m/versions/1:disable", "")
	r.call("admin", "POST", "/v1/models/m/versions/2:disable", "")
	r.signals <- syscall.SIGTERM
	for range watches {
		if got := <-last; got != "NOT_SERVING" {
			t.Errorf("a watch ended with %s", got)
		}
	}
}

// TestIdleStreamsDoNotHoldUpTheEnd has a client that keeps its stream of inferences open, as clients do.
func TestIdleStreamsDoNotHoldUpTheEnd(t *testing.T) {
	r := start(t, oneModel)
	client, _ := r.dial("http")
	stream, err := client.ModelStreamInfer(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(echo("m", 1, 1)); err != nil {
		t.Fatal(err)
	}
	if a, err := stream.Recv(); err != nil || a.GetErrorMessage() != "" {
		t.Fatalf("%v, %v", a, err)
	}
	began := time.Now()
	r.signals <- syscall.SIGTERM
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ends with %v", err)
	}
	if err := r.end(); err != nil || time.Since(began) > 3*time.Second {
		t.Errorf("the end took %v: %v", time.Since(began), err)
	}
}
