package gateway

import (
	"sync"
	"time"

	"github.com/sluice-serving/sluice/batching"
	"github.com/sluice-serving/sluice/infer"
	"github.com/sluice-serving/sluice/server"
)

// laneKey is the identity of a version's lanes: a generation that wants the same gets the same, so that a
// reload does not tear a queue in two.
type laneKey struct {
	pool          *openPool
	model         *infer.Model // the pool's own
	name, version string       // what clients call it
	maxRows       int64
	maxQueueRows  int64
	maxWait       time.Duration
}

// lanes is a target and its queue, or its way past one.
type lanes struct {
	key    laneKey
	target *infer.Target
	direct bool // requests never wait, and never merge
	close  func()
	hold   func() // lets go of the pool's model
	series *server.Series
	refs   int // generations; guarded by laneSet.mu
}

// laneSet holds the lanes of all versions by identity.
type laneSet struct {
	pools   *pools
	metrics *server.Metrics

	mu struct {
		sync.Mutex
		all map[laneKey]*lanes
	}
}

func newLaneSet(p *pools, m *server.Metrics) *laneSet {
	s := &laneSet{pools: p, metrics: m}
	s.mu.all = map[laneKey]*lanes{}
	return s
}

// acquire returns the lanes for key. poolName is what the configuration calls the pool.
func (s *laneSet) acquire(key laneKey, poolName string, labels []string) (*lanes, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.mu.all[key]; l != nil {
		l.refs++
		return l, nil
	}
	model := *key.model
	model.Name, model.Version = key.name, key.version
	maxRows := key.maxRows
	if maxRows == 0 {
		maxRows = max(model.MaxBatch, 1)
	}
	l := &lanes{key: key, refs: 1, hold: func() {}}
	l.target = &infer.Target{Model: &model, Pool: poolName, Labels: labels}
	if way := key.pool.direct(&model); way != nil {
		past := batching.NewBypass(way, &model, s.pools.metrics)
		l.direct, l.target.Next, l.close = true, past, past.Close
	} else {
		q, err := s.pools.group(key.pool).NewQueue(batching.QueueOptions{
			Model: &model, MaxRows: maxRows, MaxQueueRows: key.maxQueueRows, MaxWait: key.maxWait,
		})
		if err != nil {
			return nil, err
		}
		l.target.Next, l.close = q, q.Close
	}
	if hold := key.pool.pool.Hold; hold != nil {
		l.hold = hold(key.model)
	}
	if open := key.pool.pool.Open; open != nil {
		l.target.Open = open(&model)
	}
	l.series = s.metrics.Bind(key.name, key.version)
	l.target.Edge = l.series
	s.mu.all[key] = l
	return l, nil
}

// release gives lanes back; the last one closes them.
func (s *laneSet) release(l *lanes) {
	s.mu.Lock()
	l.refs--
	last := l.refs == 0
	if last {
		delete(s.mu.all, l.key)
	}
	s.mu.Unlock()
	if last {
		l.close()
		l.hold()
		l.series.Release()
	}
}
