package telemetry

import (
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

const (
	logTimeLayout = "2006-01-02T15:04:05.000000Z07:00"
	closeWait     = 2 * time.Second
)

// LogOptions says where the log goes and how it looks.
type LogOptions struct {
	// Output takes the lines. Default: the standard error stream.
	Output io.Writer
	// Format is "json", "console", or "auto": console where Output is a terminal, else JSON. Default: auto.
	Format string
	// Level is the least level that is logged: debug, info, warn or error. Default: info.
	Level string
	// Burst is how many lines of one message and level a second are all logged; beyond it every hundredth is. The
	// access log is not bound by it. Default: 100; negative: no bound.
	Burst int
	// Ring is the bytes of lines that may wait while the output is slow. Raising it loses fewer lines to a slow
	// output and costs twice as much memory. Default: 1 MiB.
	Ring int
}

// EnsureDefaults fills in what is not set.
func (o *LogOptions) EnsureDefaults() {
	if o.Output == nil {
		o.Output = os.Stderr
	}
	if o.Format == "" {
		o.Format = "auto"
	}
	if o.Level == "" {
		o.Level = "info"
	}
	if o.Burst == 0 {
		o.Burst = 100
	}
	if o.Ring == 0 {
		o.Ring = defaultRing
	}
}

// Validate names the first setting that makes no sense.
func (o *LogOptions) Validate() error {
	switch o.Format {
	case "", "auto", "json", "console":
	default:
		return fmt.Errorf("log format %q: want auto, json or console", o.Format)
	}
	if _, err := zapcore.ParseLevel(o.Level); err != nil && o.Level != "" {
		return fmt.Errorf("log level %q: want debug, info, warn or error", o.Level)
	}
	if o.Ring < 0 {
		return fmt.Errorf("log ring %d: want a size", o.Ring)
	}
	return nil
}

// Log is a structured log whose callers never wait for its output.
type Log struct {
	sink   *sink
	level  zap.AtomicLevel
	logger *zap.Logger
	access *zap.Logger
}

// NewLog starts a log. Close ends it.
func NewLog(opts LogOptions) (*Log, error) {
	opts.EnsureDefaults()
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	level, err := zap.ParseAtomicLevel(opts.Level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: %w", opts.Level, err)
	}
	l := &Log{sink: newSink(opts.Output, opts.Ring), level: level}
	encoder := newEncoder(opts)
	l.access = zap.New(zapcore.NewCore(encoder, l.sink, zapcore.InfoLevel), zap.ErrorOutput(l.sink))
	core := zapcore.NewCore(encoder.Clone(), l.sink, level)
	if opts.Burst > 0 {
		core = zapcore.NewSamplerWithOptions(core, time.Second, opts.Burst, 100)
	}
	l.logger = zap.New(core, zap.ErrorOutput(l.sink))
	return l, nil
}

func newEncoder(opts LogOptions) zapcore.Encoder {
	config := zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "msg",
		LineEnding:       zapcore.DefaultLineEnding,
		EncodeLevel:      zapcore.LowercaseLevelEncoder,
		EncodeTime:       encodeTime,
		EncodeDuration:   zapcore.SecondsDurationEncoder,
		ConsoleSeparator: "  ",
	}
	if opts.Format == "console" || opts.Format == "auto" && isTerminal(opts.Output) {
		config.EncodeLevel = zapcore.CapitalLevelEncoder
		config.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		config.EncodeDuration = zapcore.StringDurationEncoder
		return zapcore.NewConsoleEncoder(config)
	}
	return zapcore.NewJSONEncoder(config)
}

func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	zapcore.TimeEncoderOfLayout(logTimeLayout)(t.UTC(), enc)
}

// isTerminal takes any character device for one: the only other that a log is sent to is the null device.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Logger is for everything but the access log.
func (l *Log) Logger() *zap.Logger { return l.logger }

// AccessLogger is for an AccessLog: the same output, bound neither by the level nor by Burst, since the access log has
// a policy of its own.
func (l *Log) AccessLogger() *zap.Logger { return l.access }

// SetLevel changes the least level that is logged.
func (l *Log) SetLevel(level zapcore.Level) { l.level.SetLevel(level) }

// Level is the least level that is logged.
func (l *Log) Level() zapcore.Level { return l.level.Level() }

// Dropped is how many lines did not reach the output, because too many waited or because it failed.
func (l *Log) Dropped() (full, failed uint64) { return l.sink.full.Load(), l.sink.failed.Load() }

// Register exports how many lines were dropped.
func (l *Log) Register(r *Registry) {
	NewCounterFunc(r, Opts{
		Name:   "log_dropped_total",
		Help:   "Log lines that were not written: the output was too slow (full) or failed (failed).",
		Labels: []string{"reason"},
	}, func(emit Emit) {
		full, failed := l.Dropped()
		emit(float64(full), "full")
		emit(float64(failed), "failed")
	})
}

// Close writes what waits, for two seconds at most, and ends the log. Later lines are dropped.
func (l *Log) Close() error { return l.sink.close(closeWait) }
