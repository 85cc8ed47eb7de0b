package onnx

// standing is where a version stands in the pool, as far as it matters to what the watch makes of its files.
type standing struct {
	loaded stamp // of what serves; 0: nothing does
	tried  stamp // of what failed to load last; 0: nothing did
	busy   bool  // it is being loaded
	parked bool  // an operator has unloaded the model
}

// verdict is what is to be done about a version after a look at its files.
type verdict uint8

const (
	leave  verdict = iota
	wait           // its files still change: look again
	fetch          // load it
	report         // what serves is no longer what its files say
	agree          // what serves is what its files say
	drop           // it is gone
)

// judge compares a look at a version's files with the look before. A stamp of 0 says that there were none; known
// is nil for a version that the pool does not know. Files are believed once they have stood still from one look
// to the next: what copies a model writes it piece by piece.
func judge(now, before stamp, known *standing) verdict {
	switch {
	case known != nil && known.busy:
		return leave
	case now == 0 && known == nil:
		return leave
	case now == 0 && before == 0:
		return drop
	case now == 0:
		return wait
	case known != nil && known.loaded == now:
		return agree
	case known != nil && (known.parked || known.tried == now):
		return leave
	case now != before:
		return wait
	case known != nil && known.loaded != 0:
		return report
	}
	return fetch
}
