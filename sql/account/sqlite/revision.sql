SELECT n FROM revision
