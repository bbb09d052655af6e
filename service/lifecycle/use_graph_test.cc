#include "service/lifecycle/use_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace lifecycle {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using Ids = std::vector<UseGraph::Id>;

class UseGraphTest : public testing::Test {
 protected:
  // Takes all that are free.
  Ids Free() {
    Ids free;
    while (graph_.any_free()) free.push_back(graph_.TakeFree());
    std::sort(free.begin(), free.end());
    return free;
  }

  Ids FreeWithout(UseGraph::Id id) {
    graph_.Remove(id);
    return Free();
  }

  UseGraph graph_;
};

TEST_F(UseGraphTest, FreesTheLastOfThoseThatDeclareNothing) {
  for (int i = 0; i < 3; ++i) graph_.Add(std::nullopt, /*used_by_all=*/false);
  EXPECT_THAT(Free(), IsEmpty());
  graph_.Begin();
  EXPECT_THAT(Free(), ElementsAre(2));
  EXPECT_THAT(FreeWithout(2), ElementsAre(1));
  EXPECT_THAT(FreeWithout(1), ElementsAre(0));
  EXPECT_THAT(FreeWithout(0), IsEmpty());
  EXPECT_EQ(graph_.left(), 0U);
}

TEST_F(UseGraphTest, FreesWhatNobodyDeclares) {
  graph_.Add(Ids{}, false);
  graph_.Add(Ids{0}, false);
  graph_.Add(Ids{0}, false);
  graph_.Add(Ids{1, 2}, false);
  graph_.Begin();
  EXPECT_THAT(Free(), ElementsAre(3));
  EXPECT_THAT(FreeWithout(3), ElementsAre(1, 2));
  EXPECT_THAT(FreeWithout(2), IsEmpty());
  EXPECT_THAT(FreeWithout(1), ElementsAre(0));
}

TEST_F(UseGraphTest, FreesLastWhatIsUsedByAll) {
  graph_.Add(Ids{}, false);
  graph_.Add(Ids{}, true);
  graph_.Add(Ids{}, false);
  graph_.Begin();
  EXPECT_THAT(Free(), ElementsAre(0, 2));
  EXPECT_THAT(FreeWithout(0), IsEmpty());
  EXPECT_THAT(FreeWithout(2), ElementsAre(1));
}

TEST_F(UseGraphTest, FreesWhatIsAddedMeanwhile) {
  graph_.Add(std::nullopt, false);
  graph_.Begin();
  EXPECT_THAT(Free(), ElementsAre(0));
  EXPECT_EQ(graph_.Add(std::nullopt, false), 1U);
  EXPECT_THAT(Free(), ElementsAre(1));
  EXPECT_THAT(FreeWithout(1), IsEmpty());  // The other was taken before.
}

TEST_F(UseGraphTest, AnEntryStandsOnWhatItUses) {
  EXPECT_EQ(graph_.HeightOf(graph_.Add(Ids{}, false)), 1U);
  EXPECT_EQ(graph_.HeightOf(graph_.Add(Ids{0}, false)), 2U);
  EXPECT_EQ(graph_.HeightOf(graph_.Add(Ids{}, true)), 1U);
  EXPECT_EQ(graph_.HeightOf(graph_.Add(Ids{}, false)), 2U);  // On the one that all use.
  EXPECT_EQ(graph_.HeightOf(graph_.Add(std::nullopt, false)), 3U);
}

TEST_F(UseGraphTest, WhatIsRemovedCarriesNothing) {
  graph_.Add(Ids{}, false);
  graph_.Add(Ids{0}, false);
  graph_.Begin();
  EXPECT_THAT(Free(), ElementsAre(1));
  EXPECT_THAT(FreeWithout(1), ElementsAre(0));
  EXPECT_EQ(graph_.HeightOf(graph_.Add(Ids{1, 0}, false)), 2U);
  EXPECT_THAT(FreeWithout(0), ElementsAre(2));
}

}  // namespace
}  // namespace lifecycle
