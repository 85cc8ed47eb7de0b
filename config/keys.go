package config

import "fmt"

// Type is what a key holds.
type Type uint8

// The types of keys.
const (
	String Type = iota
	Int
	Float
	Bool
	Size     // bytes, written 64MiB
	Duration // written 500us
	Percent  // written 5%
	Enum     // one of Key.Values
	Address  // host:port or unix:/path
	Server   // host:port, unix:/path or dns:name:port of somebody else
	File     // a readable file
	Dir      // a readable folder
	List     // of Key.Item
	Object   // of Key.Keys
	kindType // the kind of a pool: one of the kinds given to Load
)

// Key describes one setting. The zero values mean: no default, not required,
// no bound but that no number is negative.
type Key struct {
	// Name is the key in the file.
	Name string
	// Type is what it holds.
	Type Type
	// Doc is one or two sentences: the meaning, and the unit.
	Doc string
	// Raise says what raising, or setting, the value does.
	Raise string
	// Default is the value in the file's spelling, items of a list separated
	// by commas; empty: the key is unset unless given.
	Default string
	// Required refuses a file that leaves the key out.
	Required bool
	// Auto allows "auto", which reads as the zero value.
	Auto bool
	// Min and Max bound numbers, in the type's unit (bytes, nanoseconds,
	// percent). A Max of 0: no bound.
	Min, Max float64
	// Values lists what an Enum allows.
	Values []string
	// Check refuses further texts; its error reads after "KEY: ".
	Check func(text string) error
	// Secret keeps the value out of everything that is shown.
	Secret bool
	// Flag is the command-line flag that sets the key; empty: none.
	Flag string
	// Item describes a list's items.
	Item *Key
	// Keys describes an object's fields.
	Keys []Key
}

// Kind is one kind of pool, with the keys that only it has.
type Kind struct {
	// Name is the value of the pool's kind.
	Name string
	// Doc is one sentence.
	Doc string
	// Keys are the kind's own settings.
	Keys []Key
	// Target names the key that --backend KIND=TARGET sets.
	Target string
	// Named names the key that lists the models of servers which do not tell
	// what they have: discovering needs it, and --backend KIND=TARGET#NAMES
	// sets it. Empty: they tell.
	Named string
}

// schema is the table of this build.
type schema struct {
	root  Key
	kinds []Kind
	// pools holds, for each kind, all the keys of a pool of that kind.
	pools []Key
	// defaults holds the default of each key that was asked for.
	defaults map[*Key]*value
}

func newSchema(kinds []Kind) *schema {
	s := &schema{root: rootKey(), kinds: kinds, defaults: make(map[*Key]*value)}
	for _, k := range kinds {
		pool := poolKey()
		for _, own := range k.Keys {
			if pool.field(own.Name) != nil {
				panic(fmt.Sprintf("BUG: config: kind %s redefines the key %q", k.Name, own.Name))
			}
		}
		pool.Keys = append(pool.Keys, k.Keys...)
		s.pools = append(s.pools, pool)
	}
	return s
}

// pool gives the keys of a pool of a kind, or nil.
func (s *schema) pool(kind string) *Key {
	for i := range s.kinds {
		if s.kinds[i].Name == kind {
			return &s.pools[i]
		}
	}
	return nil
}

func (s *schema) kindNames() []string {
	names := make([]string, len(s.kinds))
	for i, k := range s.kinds {
		names[i] = k.Name
	}
	return names
}

// field gives the key of an object's field, or nil.
func (k *Key) field(name string) *Key {
	for i := range k.Keys {
		if k.Keys[i].Name == name {
			return &k.Keys[i]
		}
	}
	return nil
}

func (k *Key) names() []string {
	names := make([]string, len(k.Keys))
	for i := range k.Keys {
		names[i] = k.Keys[i].Name
	}
	return names
}

// isPool says whether k describes a pool: the fields of a pool depend on its
// kind.
func (k *Key) isPool() bool { return k.field("kind") != nil && k.field("kind").Type == kindType }
