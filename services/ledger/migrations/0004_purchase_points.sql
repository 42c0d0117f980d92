-- The way forward from a purchase: the lots that it earned.

CREATE INDEX lots_by_purchase ON lots (purchase, merchant);
