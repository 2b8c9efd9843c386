"""What a run looks like as HTML: plain data prepared by `*_view`, laid out by the templates. Shared by the one-file report
and the server's pages."""
