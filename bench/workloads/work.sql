-- SPDX-License-Identifier: BSD-2-Clause
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, grp INTEGER, value REAL);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150000)
INSERT INTO item SELECT i, printf('item %d of %s', i * 7919 % 100003, hex(i * 31)),
	i % 997, i / 3.0 FROM n;
CREATE INDEX item_name ON item (name);
CREATE INDEX item_grp ON item (grp, value);
SELECT grp, count(*), max(name), round(sum(value), 3) FROM item GROUP BY grp
	ORDER BY 2 DESC, 1 LIMIT 20;
UPDATE item SET name = name || ' again' WHERE grp % 7 = 0;
DELETE FROM item WHERE id % 5 = 0;
SELECT count(*), min(name), max(name) FROM item;
SELECT a.grp, count(*) FROM item a JOIN item b ON a.grp = b.grp AND b.id < 1000
	GROUP BY a.grp ORDER BY 2 DESC, 1 LIMIT 10;
SELECT length(group_concat(name, ',')) FROM item;
VACUUM;
