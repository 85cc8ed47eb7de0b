package h1

// link puts a call at the end of the queue. It runs under mu.
func (cl *Client) link(call *Call) {
	m := &cl.mu
	call.queued, call.prev, call.next = true, m.last, nil
	if m.last == nil {
		m.first = call
	} else {
		m.last.next = call
	}
	m.last = call
	m.waiting++
}

// linkFirst puts a call at the head of the queue. It runs under mu.
func (cl *Client) linkFirst(call *Call) {
	m := &cl.mu
	call.queued, call.prev, call.next = true, nil, m.first
	if m.first == nil {
		m.last = call
	} else {
		m.first.prev = call
	}
	m.first = call
	m.waiting++
}

// unlink takes a call out of the queue. It runs under mu.
func (cl *Client) unlink(call *Call) {
	m := &cl.mu
	if call.prev == nil {
		m.first = call.next
	} else {
		call.prev.next = call.next
	}
	if call.next == nil {
		m.last = call.prev
	} else {
		call.next.prev = call.prev
	}
	call.queued, call.prev, call.next = false, nil, nil
	m.waiting--
}

// takeWaiting empties the queue. It runs under mu. The calls are linked by next.
func (cl *Client) takeWaiting() *Call {
	m := &cl.mu
	first := m.first
	for call := first; call != nil; call = call.next {
		call.queued, call.prev = false, nil
	}
	m.first, m.last, m.waiting = nil, nil, 0
	return first
}

// failAll ends calls that takeWaiting returned.
func (cl *Client) failAll(first *Call, f *Fault) {
	for call := first; call != nil; {
		next := call.next
		call.next = nil
		cl.over(call, f)
		call = next
	}
}
