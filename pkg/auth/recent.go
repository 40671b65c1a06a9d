package auth

import "container/list"

// recent is a map that forgets what was not used for longest when it is full. It
// has no lock of its own.
type recent[K comparable, V any] struct {
	most  int
	order *list.List // of *entry[K, V]; the front is the newest
	at    map[K]*list.Element
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newRecent[K comparable, V any](most int) *recent[K, V] {
	return &recent[K, V]{most: most, order: list.New(), at: map[K]*list.Element{}}
}

// get finds a value and makes it the newest.
func (r *recent[K, V]) get(key K) (v V, ok bool) {
	e := r.at[key]
	if e == nil {
		return v, false
	}
	r.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// put stores a value as the newest.
func (r *recent[K, V]) put(key K, v V) {
	if e := r.at[key]; e != nil {
		r.order.MoveToFront(e)
		e.Value.(*entry[K, V]).value = v
		return
	}
	if len(r.at) >= r.most {
		oldest := r.order.Back()
		delete(r.at, oldest.Value.(*entry[K, V]).key)
		r.order.Remove(oldest)
	}
	r.at[key] = r.order.PushFront(&entry[K, V]{key, v})
}

// drop forgets a key.
func (r *recent[K, V]) drop(key K) {
	if e := r.at[key]; e != nil {
		r.order.Remove(e)
		delete(r.at, key)
	}
}
