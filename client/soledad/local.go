package soledad

import (
	"errors"
	"fmt"

	"leap.example/services/protocol/problem"
)

// LocalGet returns a value of a bucket; problem.NotExist if there is none.
// Buckets never leave the device.
func (tx *Tx) LocalGet(bucket, key string) ([]byte, error) {
	var v []byte
	found, err := tx.scan([]any{&v}, "SELECT value FROM kv WHERE bucket = ? AND key = ?", bucket, key)
	if err == nil && !found {
		err = problem.NotExist.Errorf("no %s in %s", key, bucket)
	}
	return v, err
}

// LocalPut sets a value of a bucket.
func (tx *Tx) LocalPut(bucket, key string, v []byte) error {
	return tx.exec("INSERT OR REPLACE INTO kv (bucket, key, value) VALUES (?, ?, ?)", bucket, key, some(v))
}

// LocalDelete removes a value; none is no error.
func (tx *Tx) LocalDelete(bucket, key string) error {
	return tx.exec("DELETE FROM kv WHERE bucket = ? AND key = ?", bucket, key)
}

// LocalEach calls f for each value of a bucket, sorted by key, until f fails.
// f may change the bucket.
func (tx *Tx) LocalEach(bucket string, f func(key string, v []byte) error) error {
	after, first := "", true
	for {
		keys, values, err := tx.localPage(bucket, after, first)
		if err != nil || len(keys) == 0 {
			return err
		}
		for i, k := range keys {
			if err := f(k, values[i]); err != nil {
				return err
			}
		}
		after, first = keys[len(keys)-1], false
	}
}

// localPage returns some values with keys above after, or from the first on.
func (tx *Tx) localPage(bucket, after string, first bool) (keys []string, values [][]byte, err error) {
	rows, err := tx.query("SELECT key, value FROM kv WHERE bucket = ? AND (key > ? OR ?) ORDER BY key LIMIT 64", bucket, after, first)
	if err != nil {
		return nil, nil, err
	}
	for rows.Next() && err == nil {
		var k string
		var v []byte
		err = rows.Scan(&k, &v)
		keys, values = append(keys, k), append(values, v)
	}
	if err := errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", bucket, err)
	}
	return keys, values, nil
}
