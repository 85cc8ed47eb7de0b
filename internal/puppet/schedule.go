package puppet

// schedule is a heap of runs by due time, then by the order in which they were accepted.
type schedule []*outstanding

func (s schedule) less(i, j int) bool {
	if !s[i].due.Equal(s[j].due) {
		return s[i].due.Before(s[j].due)
	}
	return s[i].seq < s[j].seq
}

// push adds o and tells whether it is the first to end.
func (s *schedule) push(o *outstanding) bool {
	*s = append(*s, o)
	q := *s
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q.less(i, up) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
	return i == 0
}

// pop takes out the first to end.
func (s *schedule) pop() *outstanding { return s.remove(0) }

// remove takes out the run at i.
func (s *schedule) remove(i int) *outstanding {
	q := *s
	o, last := q[i], len(q)-1
	q[i], q[last] = q[last], nil
	q = q[:last]
	*s = q
	if i < last {
		q.fix(i)
	}
	return o
}

// fix moves the run at i to its place.
func (s schedule) fix(i int) {
	for i > 0 && s.less(i, (i-1)/2) {
		s[i], s[(i-1)/2] = s[(i-1)/2], s[i]
		i = (i - 1) / 2
	}
	for {
		down := 2*i + 1
		if down >= len(s) {
			return
		}
		if down+1 < len(s) && s.less(down+1, down) {
			down++
		}
		if !s.less(down, i) {
			return
		}
		s[i], s[down] = s[down], s[i]
		i = down
	}
}
